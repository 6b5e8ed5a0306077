// The process that reads an image: one operation, or one image opened for several questions, and then it ends. Started
// by session.ts in a sandbox (src/sandbox/reader.ts); it has nothing but what it is told on its standard input.
import { readSync, writeSync } from 'node:fs';
import { setInterval } from 'node:timers';
import { codeOf, messageOf, UnderstudyError } from '../../base/mod.ts';
import type { OpenedImage } from '../contract.ts';
import { createEngineHere, type EngineHere } from '../engine.ts';
import { builtinRules, rulesWith } from '../rules/mod.ts';
import {
  ALIVE_MS,
  type FromReader,
  Lines,
  type Operation,
  type Question,
  type Setting,
  STEP_FD,
  type ToReader,
} from './protocol.ts';

const STDOUT = 1;
const stop = new AbortController();

function say(message: FromReader): void {
  const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at);
}

/** What is asked, in order. Whoever asks may have gone: then there is nothing more to do. */
class Questions {
  readonly #waiting: ToReader[] = [];
  #wake: (() => void) | null = null;

  constructor() {
    const lines = new Lines();
    process.stdin.setEncoding('utf8').on('data', (text: string) => {
      for (const line of lines.add(text) ?? []) {
        const message = JSON.parse(line) as ToReader;
        if ('abort' in message) stop.abort();
        else this.#waiting.push(message);
      }
      this.#wake?.();
    });
    process.stdin.on('end', () => {
      // Nobody asks any more: what is open is closed in good order.
      this.#waiting.push({ ask: 'end' });
      this.#wake?.();
    });
  }

  async next<T extends ToReader>(): Promise<T> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) return message as T;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Waits until it is told to go on, with everything else. */
function askStep(step: string): void {
  say({ step });
  const word = Buffer.alloc(1);
  const count = readSync(STEP_FD, word, 0, 1, null);
  if (count === 0 || word.toString('latin1') !== 'y')
    throw new UnderstudyError('INTERRUPTED', `stopped before ${step}`);
}

function engineFor({ rules, kept, images, stateFolder, formats, kernelMount, asksSteps }: Setting): EngineHere {
  const own = rules === null ? builtinRules : rulesWith(rules.list, rules.only);
  const given = new Map(images.map((image) => [image.place, { ...image, path: image.place }]));
  const onStep = asksSteps ? { onStep: askStep } : {};
  return createEngineHere({
    stateFolder,
    formats,
    kernelMount,
    rules: own,
    kept,
    given,
    stamps: rules?.only !== true,
    ...onStep,
  });
}

async function answerAll(opened: OpenedImage, questions: Questions): Promise<void> {
  say({ answer: null });
  for (;;) {
    const question = await questions.next<Question>();
    if (question.ask === 'end') return;
    await answering(() => {
      if (question.ask === 'inspect') return opened.inspect(question.lead);
      return question.ask === 'identify' ? opened.identify() : opened.plan(question.request);
    });
  }
}

async function answering(work: () => Promise<unknown>): Promise<void> {
  say(await answerOf(work));
}

async function answerOf(work: () => Promise<unknown>): Promise<FromReader> {
  try {
    return { answer: (await work()) ?? null };
  } catch (error) {
    return { failed: { code: codeOf(error) ?? 'IDENTITY_FAILED', message: messageOf(error) } };
  }
}

async function main(): Promise<void> {
  const questions = new Questions();
  const setting = await questions.next<Setting | Question>();
  // Somebody only wanted to see whether it can be started.
  if ('ask' in setting) process.exit(0);
  process.env.PATH = setting.path;
  setInterval(() => say({ alive: true }), ALIVE_MS).unref();
  const engine = engineFor(setting);
  const [first = '', second = ''] = setting.images.map(({ place }) => place);
  const operation = await questions.next<Operation | Question>();
  if ('ask' in operation) process.exit(0);
  const { signal } = stop;
  await answering(async () => {
    if (operation.do === 'apply') return engine.apply(first, operation.plan, signal);
    if (operation.do === 'transplant') return engine.transplant(first, second, operation.request, signal);
    if (operation.do === 'verify') return engine.verify(first, operation.request, operation.plan, signal);
    return engine.reading(first, signal, (opened) => answerAll(opened, questions));
  });
  process.exit(0);
}

void main();
