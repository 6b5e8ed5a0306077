// Ends what an interrupted run of tests leaves: its processes, and then what they can no longer take away themselves. Only what
// can be told to be of that run is touched: by the mark that its processes inherited, by its temporary folder, or by a network
// namespace that is new and whose maker has gone.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, loopBackings, markedPids, mounts, namespaces } from './leaks.mjs';

/** For an orderly end, which takes away more than a kill. */
const GRACE_MS = 5000;
const POLL_MS = 100;

async function untilGone(run, milliseconds) {
  const deadline = performance.now() + milliseconds;
  while (markedPids(run).length > 0 && performance.now() < deadline) await delay(POLL_MS);
}

function signalAll(run, signal) {
  for (const pid of markedPids(run)) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // It ended since it was listed.
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

function undo(command, ...args) {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) process.stderr.write(`${command} ${args.join(' ')}: ${error?.message ?? stderr}\n`);
}

/**
 * `run` and `temporary` as leakedSince() takes them, `before` the snapshot from before the run. What cannot be ended is told on
 * standard error, and is found by the look for leaks.
 */
export async function endRun(before, { run, temporary }) {
  signalAll(run, 'SIGTERM');
  await untilGone(run, GRACE_MS);
  signalAll(run, 'SIGKILL');
  await untilGone(run, GRACE_MS);
  const known = new Set(before['network namespace']);
  for (const name of namespaces()) {
    const maker = /^ust-([0-9]+)-/.exec(name)?.[1];
    if (maker !== undefined && !known.has(name) && !isAlive(maker)) undo('ip', 'netns', 'delete', name);
  }
  // The last one mounted first: it may lie in another.
  for (const point of mountsIn(temporary).reverse()) undo('umount', point);
  const inside = `${temporary}/`;
  for (const { device, file } of loopBackings()) if (file.startsWith(inside)) undo('losetup', '--detach', device);
  removeUnmounted(temporary);
}

function mountsIn(folder) {
  return mounts().filter((point) => `${point}/`.startsWith(`${folder}/`));
}

/** Removes a folder with all that is in it, unless a mount of somebody's is. */
export function removeUnmounted(folder) {
  if (mountsIn(folder).length === 0) rmSync(folder, { recursive: true, force: true });
}
