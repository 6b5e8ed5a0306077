// What is said between a copy and the process that looks for file systems in its source.
import type { LocalView } from './local-view.ts';
import type { CopyExtent, ExtentRequest } from './resolve.ts';

export interface ExtentQuestion {
  readonly request: ExtentRequest;
  readonly view: LocalView;
  /** PATH, which is not in its environment. */
  readonly path: string;
}

export type ExtentAnswer = { readonly extent: CopyExtent } | { readonly failed: { code: string; message: string } };

/** Said before anything of the source is looked at: a sandbox that cannot be made is not the source's doing. */
export const READY = 'ready\n';
