// graphile-worker's verbs and its job: node graphile_worker.mjs FOLDER VERB OPTIONS.
// What benchmarks/inside.py and benchmarks/ledger.py do for peers in Python, this does for it.

import fs from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const [folder, verb, text] = process.argv.slice(2);
const options = JSON.parse(text);
const { run, runMigrations, makeWorkerUtils, Logger } = createRequire(`${folder}/`)(
  "graphile-worker",
);
const quiet = new Logger(() => () => {});
const preset = { worker: { connectionString: "postgres:///", logger: quiet } };
preset.worker.connectionString = undefined; // PGHOST and the like say where

// The ledger: begun, returned, performed (8 bytes each), who (4), count (1), for each job.
const ledger = process.env.SCHWARTZ_BENCH_LEDGER;
const file = ledger && fs.openSync(ledger, "r+");
const size = ledger && fs.fstatSync(file).size / 29;
const [BEGUN, RETURNED, PERFORMED, WHO, COUNT] = [0, 8, 16, 24, 28];

function write(part, number, value, width = 8) {
  const bytes = Buffer.alloc(width);
  if (width === 8) bytes.writeBigInt64LE(value);
  else bytes.writeInt32LE(value);
  fs.writeSync(file, bytes, 0, width, part * size + width * number);
}

// Node has no shared mapping: what was performed is written once a turn of the event loop, a run of
// consecutive jobs at a time, so that the ledger costs as little as it does in Python.
let waiting = [];

function mark(number) {
  if (waiting.length === 0) setImmediate(flush);
  waiting.push([number, process.hrtime.bigint()]);
}

function flush() {
  const marks = waiting.sort((a, b) => a[0] - b[0]);
  waiting = [];
  for (let start = 0, end; start < marks.length; start = end) {
    for (end = start + 1; end < marks.length && marks[end][0] === marks[end - 1][0] + 1; end++);
    record(marks.slice(start, end));
  }
}

function record(marks) {
  const [first, length] = [marks[0][0], marks.length];
  const times = Buffer.alloc(8 * length);
  marks.forEach(([, time], index) => times.writeBigInt64LE(time, 8 * index));
  fs.writeSync(file, times, 0, 8 * length, PERFORMED * size + 8 * first);
  const who = Buffer.alloc(4 * length);
  for (let index = 0; index < length; index++) who.writeInt32LE(process.pid, 4 * index);
  fs.writeSync(file, who, 0, 4 * length, WHO * size + 4 * first);
  const counts = Buffer.alloc(length);
  fs.readSync(file, counts, 0, length, COUNT * size + first);
  for (let index = 0; index < length; index++) counts[index]++;
  fs.writeSync(file, counts, 0, length, COUNT * size + first);
}

function done() {
  const counts = Buffer.alloc(size);
  fs.readSync(file, counts, 0, size, COUNT * size);
  return counts.reduce((total, count) => total + (count > 0), 0);
}

const elapsed = (start) => Number(process.hrtime.bigint() - start) / 1e9;

async function bulk(utils, first, count, { delay = 0, urgent = false }) {
  const runAt = delay ? new Date(Date.now() + 1000 * delay) : undefined;
  for (let number = first; number < first + count; number += 1000) {
    const numbers = Array.from({ length: Math.min(1000, first + count - number) }, (_, n) => n);
    await utils.addJobs(
      numbers.map((n) => ({
        identifier: "note",
        payload: { number: number + n },
        priority: urgent ? -9 : 0,
        runAt,
      })),
    );
  }
}

const verbs = {
  async reset() {
    await runMigrations({ preset });
  },
  async enqueue(utils, { first, count, warm_up, seconds }) {
    const add = (number) => utils.addJob("note", { number });
    for (let number = first; number < first + warm_up; number++) await add(number);
    const start = process.hrtime.bigint();
    let number = first + warm_up;
    while (number < first + count && elapsed(start) < seconds) await add(number++);
    return { seconds: elapsed(start), count: number - first - warm_up };
  },
  async bulk(utils, { first, count, warm_up, seconds, ...rest }) {
    await bulk(utils, first, warm_up, rest);
    const start = process.hrtime.bigint();
    let number = first + warm_up;
    for (; number < first + count && elapsed(start) < seconds; number += 1000) {
      await bulk(utils, number, Math.min(1000, first + count - number), rest);
    }
    return { seconds: elapsed(start), count: Math.min(number, first + count) - first - warm_up };
  },
  async latency(utils, { first, gaps }) {
    for (const [index, gap] of gaps.entries()) {
      await sleep(1000 * gap);
      write(BEGUN, first + index, process.hrtime.bigint());
      await utils.addJob("note", { number: first + index });
      write(RETURNED, first + index, process.hrtime.bigint());
    }
  },
  async flow(utils, { first, count, window }) {
    for (let number = first; number < first + count; number += 1000) {
      while (number - first - done() > window - 1000) await sleep(10);
      await bulk(utils, number, Math.min(1000, first + count - number), {});
    }
  },
};

if (verb === "work") {
  const best = { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0 };
  if (options.variant === "best") Object.assign(preset.worker, best);
  const taskList = { note: async ({ number }) => mark(number) };
  const runner = await run({ preset, taskList });
  await runner.promise;
} else {
  const utils = verb === "reset" ? null : await makeWorkerUtils({ preset });
  const answer = await verbs[verb](utils, options);
  if (utils) await utils.release();
  console.log(JSON.stringify(answer ?? null));
}
