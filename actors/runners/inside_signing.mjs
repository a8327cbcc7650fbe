// Runs inside a sandbox beside a reporter: takes the key away before any test starts, and signs.
// Tests run in processes of their own.

import { createHmac } from "node:crypto";
import { readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { isAbsolute, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const KEEP = 4000;
const keyFile = fileURLToPath(new URL("./key", import.meta.url));
const key = readFileSync(keyFile, "utf8").trim();
unlinkSync(keyFile);

export const place = (file) =>
  file && isAbsolute(file) ? relative(process.cwd(), file) : (file ?? "");

export function signed(records) {
  const body = JSON.stringify({ records });
  return `${createHmac("sha256", key).update(body).digest("hex")}\n${body}`;
}

export function write(records) {
  writeFileSync(fileURLToPath(new URL("./report", import.meta.url)), signed(records));
}

// One record; `error` is what the runner has of a failure: text, or an object with a stack.
export function record(id, when, outcome, error) {
  const text = typeof error === "string" ? error : (error?.stack ?? error?.message ?? "");
  const crash = text.split("\n").find((line) => line.trim()) ?? "";
  return { id, when, outcome, crash: crash.trim().slice(0, KEEP), text: text.slice(0, KEEP) };
}
