// Mastra's workflows on a LibSQL file. Run in a directory where its packages are installed.
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const job = JSON.parse(process.argv[2]);
const installed = createRequire(`${process.cwd()}/package.json`);
const load = (name) => import(pathToFileURL(installed.resolve(name)).href);
const { Mastra } = await load("@mastra/core");
const { createStep, createWorkflow } = await load("@mastra/core/workflows");
const { LibSQLStore } = await load("@mastra/libsql");
const { z } = await load("zod");

const text = z.object({ value: z.string() });
const payload = (number, size) => String(number).padStart(8, "0") + "x".repeat(size - 8);
const numberOf = (value) => Number(value.slice(0, 8));

function mark(name) {
  try {
    rmdirSync(name); // there is no such directory: this leaves a mark in a trace of system calls
  } catch {}
}
const written = () => Number(/^wchar: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))[1]);
const peakKb = () => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
const cpuS = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

const next = (id, size) =>
  createStep({
    id,
    inputSchema: text,
    outputSchema: text,
    execute: async ({ inputData }) => ({ value: payload(numberOf(inputData.value) + 1, size) }),
  });

function chain({ steps, size }, id) {
  let workflow = createWorkflow({ id, inputSchema: text, outputSchema: text });
  for (let n = 0; n < steps; n++) workflow = workflow.then(next(`step${n}`, size));
  return workflow.commit();
}

function fan({ steps, size }, id) {
  const body = createStep({
    id: "work",
    inputSchema: z.number(),
    outputSchema: text,
    execute: async ({ inputData }) => ({ value: payload(inputData, size) }),
  });
  return createWorkflow({ id, inputSchema: z.array(z.number()), outputSchema: z.array(text) })
    .foreach(body, { concurrency: steps })
    .commit();
}

function loop({ steps, size }, id) {
  return createWorkflow({ id, inputSchema: text, outputSchema: text })
    .dountil(next("work", size), async ({ inputData }) => numberOf(inputData.value) >= steps)
    .commit();
}

let called, seconds, at;
function gated(id) {
  const gate = createStep({
    id: "gate",
    inputSchema: text,
    outputSchema: text,
    resumeSchema: z.object({ goOn: z.boolean() }),
    execute: async ({ inputData, resumeData, suspend }) => {
      if (!resumeData) return suspend({});
      return inputData;
    },
  });
  const behind = createStep({
    id: "behind",
    inputSchema: text,
    outputSchema: text,
    execute: async ({ inputData }) => {
      seconds = (performance.now() - called) / 1000;
      at = Date.now() / 1000;
      mark("/benchmark-ends");
      return inputData;
    },
  });
  return createWorkflow({ id, inputSchema: text, outputSchema: text })
    .then(gate)
    .then(behind)
    .commit();
}

const kinds = { chain, fan, loop };
const warmUp = { ...job, steps: Math.min(20, job.steps), size: job.size - 1 };
const workflows = kinds[job.work]
  ? { warm: kinds[job.work](warmUp, "warm"), job: kinds[job.work](job, "job") }
  : { gated: gated("gated") };
const store = new LibSQLStore({ id: "benchmark", url: `file:${job.directory}/mastra.db` });
const mastra = new Mastra({ workflows, storage: store, logger: false });

async function play(name, { steps, size }) {
  const run = await mastra.getWorkflow(name).createRun({ runId: name });
  const list = Array.from({ length: steps }, (_, n) => n);
  const inputData = job.work === "fan" ? list : { value: payload(0, size) };
  const { status } = await run.start({ inputData });
  if (status !== "success") throw new Error(`it ended as ${status}`);
}

async function suspend() {
  const run = await mastra.getWorkflow("gated").createRun({ runId: "gated" });
  const { status } = await run.start({ inputData: { value: "value" } });
  if (status !== "suspended") throw new Error(`it ended as ${status}`);
}

async function resume() {
  const run = await mastra.getWorkflow("gated").createRun({ runId: "gated" });
  mark("/benchmark-begins");
  called = performance.now();
  const { status } = await run.resume({ step: "gate", resumeData: { goOn: true } });
  if (status !== "success") throw new Error(`it ended as ${status}`);
  console.log(JSON.stringify({ resume_ms: seconds * 1000, at }));
}

async function measured() {
  await play("warm", warmUp);
  mark("/benchmark-begins");
  const before = { written: written(), cpu: cpuS(), start: performance.now() };
  await play("job", job);
  const took = (performance.now() - before.start) / 1000;
  const used = cpuS() - before.cpu;
  mark("/benchmark-ends");
  await store.close?.();
  console.log(
    JSON.stringify({
      seconds: took,
      cpu_s: used,
      written: written() - before.written,
      peak_mb: peakKb() / 1024,
    }),
  );
}

mkdirSync(job.directory, { recursive: true });
await ({ suspend, resume }[job.work] ?? measured)();
process.exit(0);
