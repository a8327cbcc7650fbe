// Runs inside a sandbox as a reporter of `node --test`: a signed report of what each test did.

import { inspect } from "node:util";

import { KEEP, place, signed } from "./signing.mjs";

function crashOf(error) {
  const cause = error?.cause ?? error;
  return typeof cause === "string" ? cause : `${cause?.name ?? "Error"}: ${cause?.message ?? ""}`;
}

function recordOf(data, failed, names, printed) {
  const file = place(data.file ?? data.name);
  const isFile = data.nesting === 0 && place(data.name) === file;
  const error = data.details?.error;
  if (isFile && !failed) return null;
  if (data.details?.type === "suite" && !failed) return null;
  if (failed && error?.failureType === "subtestsFailed") return null;
  const excused = data.skip !== undefined || data.todo !== undefined;
  const text = failed ? `${printed.get(file) ?? ""}\n${inspect(error)}` : "";
  return {
    id: isFile ? file : `${file}::${names.join(" > ")}`,
    when: isFile ? "collect" : "call",
    outcome: excused ? "skipped" : failed ? "failed" : "passed",
    crash: failed && !isFile ? crashOf(error).slice(0, KEEP) : "",
    text: text.slice(-KEEP),
  };
}

export default async function* report(source) {
  const names = new Map(); // by file: the names of the tests around the present one
  const printed = new Map(); // by file: the end of its stderr
  const records = [];
  for await (const { type, data } of source) {
    const file = place(data?.file ?? data?.name);
    if (type === "test:stderr") {
      printed.set(file, ((printed.get(file) ?? "") + data.message).slice(-KEEP));
    } else if (type === "test:start") {
      names.set(file, [...(names.get(file) ?? []).slice(0, data.nesting), data.name]);
    } else if (type === "test:pass" || type === "test:fail") {
      const around = (names.get(file) ?? []).slice(0, data.nesting);
      const record = recordOf(data, type === "test:fail", [...around, data.name], printed);
      if (record) records.push(record);
    }
  }
  yield signed(records);
}
