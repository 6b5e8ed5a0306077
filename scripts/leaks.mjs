// What a run of tests may have left on the machine: shared memory, processes, mounts, loop devices, network namespaces,
// temporary files. Linux only; everything is read from /proc, /sys and /dev, nothing is changed.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that was told to end needs a moment; what is still there after this long is a leak. */
const GRACE_MS = 5000;
const POLL_MS = 100;

function entriesOf(folder) {
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Content of a file of /proc or /sys, or '' when its process or device has gone meanwhile. */
function contentOf(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENXIO', 'ENODEV', 'EINVAL'].includes(error.code)) return '';
    throw error;
  }
}

/** What is ours in shared memory. Only the meeting place of a user's copies may stay, empty (docs/cli.md). */
function sharedMemory(folder = '/dev/shm') {
  return entriesOf(folder)
    .filter((name) => name.startsWith('understudy'))
    .flatMap((name) => (/^understudy-\d+$/.test(name) ? filesBelow(join(folder, name)) : join(folder, name)));
}

function filesBelow(path) {
  let entries;
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (error.code === 'ENOTDIR') return [path];
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  return entries.flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(path, entry.name)) : join(path, entry.name),
  );
}

export function mounts() {
  return contentOf('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point) => point !== undefined);
}

export function loopBackings() {
  return entriesOf('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .map((name) => ({ device: `/dev/${name}`, file: contentOf(`/sys/block/${name}/loop/backing_file`).trim() }))
    .filter(({ file }) => file !== '');
}

export function namespaces() {
  return entriesOf('/run/netns');
}

/** What is there now, by kind. */
export function snapshot() {
  return {
    'shared memory': sharedMemory(),
    mount: mounts(),
    'loop device': loopBackings().map(({ device, file }) => `${device} (${file})`),
    'network namespace': namespaces(),
  };
}

function processIds() {
  return entriesOf('/proc').filter((name) => /^[0-9]+$/.test(name));
}

/** Whether a process inherited the mark of this run, whatever its name, parent or session. */
function isMarked(pid, run) {
  return contentOf(`/proc/${pid}/environ`).includes(`UNDERSTUDY_TEST_RUN=${run}\0`);
}

export function markedPids(run) {
  return processIds().filter((pid) => isMarked(pid, run));
}

/** A process that nobody has waited for yet is not. */
export function isAlive(pid) {
  return contentOf(`/proc/${pid}/cmdline`) !== '';
}

function markedProcesses(run) {
  return markedPids(run).map((pid) => `${pid} ${contentOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()}`);
}

/** Whether a process that is not of this run uses a file: then somebody at this machine copies while the tests run. */
function isUsedByOthers(path, run) {
  return processIds().some((pid) => contentOf(`/proc/${pid}/maps`).includes(path) && !isMarked(pid, run));
}

function isOfOthers(leak, run) {
  const [, path] = /^shared memory (.*)$/.exec(leak) ?? [];
  return path !== undefined && isUsedByOthers(path, run);
}

function leaksNow(before, { run, temporary }) {
  const now = snapshot();
  const grown = Object.entries(now).flatMap(([kind, names]) => {
    const known = new Set(before[kind]);
    return names.filter((name) => !known.has(name)).map((name) => `${kind} ${name}`);
  });
  const processes = markedProcesses(run).map((line) => `process ${line}`);
  return [
    ...grown.filter((leak) => !isOfOthers(leak, run)),
    ...processes,
    ...entriesOf(temporary).map((name) => `temporary file ${join(temporary, name)}`),
  ];
}

/**
 * What is there now and was not before: a line each, none when all is clean.
 * `run` is the value of UNDERSTUDY_TEST_RUN that the tests ran with, `temporary` the folder that was their TMPDIR.
 */
export async function leakedSince(before, facts) {
  const deadline = performance.now() + (facts.graceMs ?? GRACE_MS);
  for (;;) {
    const leaks = leaksNow(before, facts);
    if (leaks.length === 0 || performance.now() > deadline) return leaks;
    await delay(POLL_MS);
  }
}
