// Runs inside a sandbox as a reporter of vitest: a signed report of what each test did.

import { place, record, write } from "./signing.mjs";

const OUTCOMES = { passed: "passed", pass: "passed", failed: "failed", fail: "failed" };

// Vitest 3 and newer hand over test modules, older ones a tree of tasks.
function recordsOfModule(module) {
  const file = place(module.moduleId);
  const records = module.errors().map((error) => record(file, "collect", "failed", error));
  for (const suite of module.children.allSuites()) {
    for (const error of suite.errors()) records.push(record(file, "collect", "failed", error));
  }
  for (const test of module.children.allTests()) {
    const { state, errors } = test.result();
    const outcome = OUTCOMES[state] ?? "skipped";
    records.push(record(`${file}::${test.fullName}`, "call", outcome, errors?.[0]));
  }
  return records;
}

function recordsOfTask(task, file, around) {
  const name = around ? `${around} > ${task.name}` : task.name;
  const [error] = task.result?.errors ?? [];
  if (task.type !== "suite") {
    const outcome = OUTCOMES[task.result?.state] ?? "skipped";
    return [record(`${file}::${name}`, "call", outcome, error)];
  }
  const inner = task.tasks.flatMap((each) => recordsOfTask(each, file, name));
  return error ? [record(file, "collect", "failed", error), ...inner] : inner;
}

function recordsOfFile(task) {
  const file = place(task.filepath);
  const [error] = task.result?.errors ?? [];
  const records = task.tasks.flatMap((each) => recordsOfTask(each, file, ""));
  return error ? [record(file, "collect", "failed", error), ...records] : records;
}

export default class Reporter {
  onInit() {
    // Vitest 2 tells its reporters nothing where there are no test files.
    process.once("exit", (code) => {
      if (code === 0 && !this.concluded) write([]);
    });
  }

  onTestRunEnd(modules, errors) {
    this.modern = true;
    this.conclude(modules.flatMap(recordsOfModule), errors);
  }

  onFinished(files = [], errors = []) {
    if (!this.modern) this.conclude(files.flatMap(recordsOfFile), errors);
  }

  conclude(records, errors) {
    this.concluded = true;
    const loose = errors.map((error) => record("outside any test", "collect", "failed", error));
    write([...records, ...loose]);
  }
}
