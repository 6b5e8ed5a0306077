// What is said between an engine and the process that reads an image for it: one JSON object a line. That process may
// be in the hands of whoever made the image, so nothing that it says is believed further than its shape.
import type { HostIdentity, IdentityRequest, Kept, Plan, TransplantRequest } from '../contract.ts';
import type { ImageFormats } from '../image/mod.ts';
import type { OwnRule } from '../rules/mod.ts';

/** An image as the reader finds it, and as everybody else calls it. */
export interface GivenImage {
  readonly place: string;
  readonly label: string;
  readonly key: string;
  /** It may hold qcow2, where formats are looked for. */
  readonly isFile: boolean;
}

/** The first word to a reader. */
export interface Setting {
  readonly stateFolder: string;
  readonly formats: ImageFormats;
  readonly kernelMount: boolean;
  /** Rules go as what they are made from. */
  readonly rules: { readonly list: readonly OwnRule[]; readonly only: boolean } | null;
  readonly kept: readonly Kept[];
  readonly images: readonly GivenImage[];
  /** PATH, which is not in its environment. */
  readonly path: string;
  /** Before each step of a change it asks whether to go on. */
  readonly asksSteps: boolean;
}

export type Question =
  | { readonly ask: 'inspect'; readonly lead: HostIdentity | null }
  | { readonly ask: 'identify' }
  | { readonly ask: 'plan'; readonly request: IdentityRequest }
  | { readonly ask: 'end' };

export type Operation =
  | { readonly do: 'reading' }
  | { readonly do: 'apply'; readonly plan: Plan }
  | { readonly do: 'transplant'; readonly request: TransplantRequest }
  | { readonly do: 'verify'; readonly request: IdentityRequest; readonly plan: Plan };

export type ToReader = Setting | Operation | Question | { readonly abort: true };

export type FromReader =
  | { readonly answer: unknown }
  | { readonly failed: { readonly code: string; readonly message: string } }
  | { readonly step: string }
  /** It is not stuck. */
  | { readonly alive: true };

/** Above any plan: files that are changed are part of it. */
export const MESSAGE_CHARS_MAX = 512 * 1024 * 1024;
export const ALIVE_MS = 1000;
/** The descriptor by which a reader hears whether it is to go on with a step. */
export const STEP_FD = 4;

/** Lines of a stream as they come. */
export class Lines {
  #pieces: string[] = [];
  #length = 0;

  /** @returns whole lines; null: one is too long */
  add(text: string): readonly string[] | null {
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    const whole: string[] = [];
    for (const line of lines) {
      whole.push([...this.#pieces, line].join(''));
      this.#pieces = [];
      this.#length = 0;
    }
    this.#pieces.push(rest);
    this.#length += rest.length;
    return this.#length > MESSAGE_CHARS_MAX ? null : whole;
  }
}
