// A portion of the lead's files in the system of another host: taken once, looked at, given in one step.
import { rm } from 'node:fs/promises';
import { UnderstudyError } from '../base/mod.ts';
import { listed, openFindings } from './accept.ts';
import type { Finding, Transplant, TransplantRequest } from './contract.ts';
import { identify } from './identify.ts';
import { changeImage, type OnStep, type RawImage, type WorkFolder, withTree } from './image/mod.ts';
import { mapOwners, type Portion, remainingOf, takePortion } from './portion/mod.ts';
import { mentionsBelow } from './rules/mod.ts';
import { type FileEdit, fileTree, type ImageTree } from './tree/mod.ts';

interface Stage {
  readonly from: RawImage;
  readonly to: RawImage;
  readonly work: WorkFolder;
  readonly signal: AbortSignal;
  readonly onStep: OnStep;
}

export async function transplant(stage: Stage, request: TransplantRequest): Promise<Transplant> {
  const { from, to, work, signal, onStep } = stage;
  const folder = await work.make('portion');
  try {
    const { portion, findings } = await withTree(from, work, signal, async (lead) => {
      const taken = await takePortion(lead, request.portion, folder);
      return withTree(to, work, signal, async (spare) => ({
        portion: { ...taken, items: await mapOwners(taken.items, fileTree(lead), fileTree(spare)) },
        findings: await namesOfLead(lead, spare, taken, request),
      }));
    });
    const edits = await withTree(to, work, signal, (spare) => remainingOf(portion, spare));
    refuseUnknown(findings, request);
    if (request.apply) {
      const remaining = async (tree: ImageTree) => ({ edits: await remainingOf(portion, tree), commands: [] });
      const change = { remaining, grow: false };
      await changeImage(to, change, work, signal, onStep);
    }
    return { ...summaryOf(portion, edits), findings, applied: request.apply };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function namesOfLead(
  lead: ImageTree,
  spare: ImageTree,
  { roots }: Portion,
  request: TransplantRequest,
): Promise<readonly Finding[]> {
  const hosts = {
    lead: request.lead ?? (await identify(fileTree(lead))),
    understudy: request.understudy ?? (await identify(fileTree(spare))),
  };
  return mentionsBelow(fileTree(lead), roots, hosts);
}

function refuseUnknown(findings: readonly Finding[], { accept, apply }: TransplantRequest): void {
  const open = openFindings(findings, accept);
  if (!apply || open.length === 0) return;
  const list = listed(open).join('; ');
  throw new UnderstudyError(
    'IDENTITY_UNKNOWN',
    `nothing is changed: these findings need a decision: ${list}; leave them as they are with --accept`,
  );
}

function summaryOf({ items, skipped }: Portion, edits: readonly FileEdit[]) {
  const own = items.filter(({ isAbove }) => !isAbove);
  const removed = edits.filter(({ state }) => state.kind === 'gone' || state.kind === 'folder-gone').length;
  return {
    files: own.filter(({ kind }) => kind !== 'folder').length,
    folders: own.filter(({ kind }) => kind === 'folder').length,
    bytes: own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    ...{ written: edits.length - removed, removed, skipped },
  };
}
