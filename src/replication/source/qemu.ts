// What the QEMU tools are told and what they answer: block graphs as "json:" names, and errors in the registry's words.
import { codeOf, requireTool, runTool, type ToolResult, UnderstudyError } from '../../base/mod.ts';

/** A node of QEMU's block graph (QMP reference, BlockdevOptions), written out so that nothing is probed. */
export type BlockNode = { readonly driver: string } & { readonly [option: string]: NodeValue };
type NodeValue = string | number | boolean | null | { readonly [option: string]: NodeValue };

/** What every tool is told besides the graph: `--object` definitions of secrets. */
export type ToolObjects = readonly string[];

const PACKAGE = 'qemu-utils';

export function graphName(node: BlockNode): string {
  return `json:${JSON.stringify(node)}`;
}

/** @throws TOOL_MISSING */
export function requireQemu(tool: 'qemu-img' | 'qemu-io' | 'qemu-nbd'): string {
  return requireTool(tool, PACKAGE);
}

interface QemuRun {
  readonly tool: 'qemu-img' | 'qemu-io';
  readonly args: readonly string[];
  readonly timeoutMs: number;
  /** What the user called the image. */
  readonly uri: string;
}

/** Answers are short; what floods the output is a long list of damage. */
const OUTPUT_BYTES_MAX = 8 * 1024 * 1024;

/** Signals with which QEMU ends where an image contradicts what it takes for certain. */
const CRASHES: readonly string[] = ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL'];

/** Runs a tool. A status other than 0 is an answer. @throws TOOL_MISSING, SOURCE_TIMEOUT, SOURCE_CORRUPT */
export async function runQemu(run: QemuRun): Promise<ToolResult> {
  const path = requireQemu(run.tool);
  let result: ToolResult;
  try {
    result = await runTool(path, run.args, { timeoutMs: run.timeoutMs, outputBytesMax: OUTPUT_BYTES_MAX });
  } catch (cause) {
    const flooded = (cause as { code?: unknown }).code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER';
    if (!flooded || codeOf(cause) !== null) throw cause;
    throw new UnderstudyError('SOURCE_CORRUPT', `${run.uri}: more damage than ${run.tool} could list`, { cause });
  }
  if (result.status === null && result.crash != null && CRASHES.includes(result.crash)) {
    const message = `${run.uri} is damaged: it made ${run.tool} crash (${result.crash})`;
    throw new UnderstudyError('SOURCE_CORRUPT', message);
  }
  if (result.status === null) {
    const message = `${run.uri}: ${run.tool} was not done within ${run.timeoutMs / 1000} seconds`;
    throw new UnderstudyError('SOURCE_TIMEOUT', message);
  }
  return result;
}

/** The first complaint, without the tool's name and the graph that it was given. */
export function complaintOf(stderr: string): string {
  const line = stderr.split('\n').find((text) => text.trim() !== '' && !/warning:/.test(text)) ?? 'no reason was given';
  return line
    .replace(/^qemu-(img|io|nbd): /, '')
    .replace(/^can't open( device [^:]*json:\{.*\})?: /, '')
    .replace(/^(Failed to blk_new_open|Could not open) '?json:\{.*\}'?: /, '')
    .trim();
}

/** Complaints by what can be done about them; the first that fits counts. */
const COMPLAINTS: readonly [RegExp, UnderstudyError['code'], string][] = [
  [/Invalid password/i, 'SOURCE_UNREADABLE', 'the key in the key file is not the one of this image'],
  [/Unknown (driver|protocol)/i, 'TOOL_MISSING', 'on Debian: apt-get install qemu-block-extra'],
  [/certificate|SSL|TLS/i, 'SOURCE_UNREADABLE', 'with --insecure the certificate is not checked'],
  [/\block\b|Is another process using/i, 'SOURCE_UNAVAILABLE', 'a running virtual machine may be writing it'],
  [/key-secret|encrypt/i, 'SOURCE_UNREADABLE', 'it is encrypted; --key-file FILE opens a qcow2 with LUKS'],
  [/Permission denied|error: 40[13]\b/i, 'SOURCE_UNREADABLE', ''],
  [/error: 4(04|10)\b|export .*not (found|present|available)|no export/i, 'SOURCE_NOT_FOUND', ''],
  [/No such file or directory/i, 'SOURCE_UNREADABLE', ''],
  [/server does not support/i, 'SOURCE_KIND', 'the server gives whole files only; download the image first'],
  [/timed? ?out/i, 'SOURCE_TIMEOUT', ''],
  [/CURL|requested URL|resolve|connect|Connection|Network|Host is|No route/i, 'SOURCE_UNAVAILABLE', ''],
  [/Input\/output error/i, 'SOURCE_READ_FAILED', ''],
];

/** What else a tool complains about is the image itself: SOURCE_CORRUPT. */
export function qemuError(uri: string, stderr: string): UnderstudyError {
  const complaint = complaintOf(stderr);
  // Not what is quoted: a file may be called anything.
  const words = complaint.replaceAll(/'[^']*'|\[[^\]]*\]/g, '');
  const known = COMPLAINTS.find(([pattern]) => pattern.test(words));
  const hint = known === undefined || known[2] === '' ? '' : ` (${known[2]})`;
  return new UnderstudyError(known?.[1] ?? 'SOURCE_CORRUPT', `${uri}: ${complaint}${hint}`);
}
