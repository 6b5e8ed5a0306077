// What HAProxy says of a backend and its servers, read from "show stat" (counters; management guide 2.6, section 9.1) and
// "show servers state" (what was ordered and what the checks found; section 9.3). Both are asked in one line, so that one
// process answers both, also while another takes its place.
import { isIPv6 } from 'node:net';
import { UnderstudyError } from '../../base/mod.ts';

export interface BackendServer {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** What was ordered: "none" is HAProxy's "ready". */
  readonly ordered: 'none' | 'drain' | 'maint';
  /** Whether it takes requests as far as its checks are concerned. */
  readonly up: boolean;
  /** 0: it gets no new requests, whatever else is said. */
  readonly weight: number;
  readonly checked: boolean;
  /** The last check passed, and was made after the server was last enabled. */
  readonly passed: boolean;
  /** One line for people: "DOWN, Layer4 connection problem". */
  readonly text: string;
  readonly connections: number;
  readonly requestsTotal: number;
  readonly errorsTotal: number;
  /** Over the last 1024 requests at most; null in TCP mode, which has no such time, and before the first request. */
  readonly responseTimeMs: number | null;
  /** Of the last check that was made; null: none was. */
  readonly checkMs: number | null;
  readonly queued: number;
}

export interface Backend {
  readonly name: string;
  readonly servers: readonly BackendServer[];
  readonly queued: number;
  readonly requestsTotal: number;
  readonly answeredTotal: number;
}

/** SRV_ADMF_*: forced into maintenance, by the server that it tracks, by a name that cannot be resolved. */
const ADMIN_MAINT = 0x01 | 0x02 | 0x20;
/** SRV_ADMF_*: forced into drain, by the server that it tracks. */
const ADMIN_DRAIN = 0x08 | 0x10;
/** SRV_ST_*: warming up, running. */
const OPERATIONAL_UP = ['1', '2'];
/** CHK_ST_*: enabled; paused by maintenance. */
const CHECK_ENABLED = 0x04;
const CHECK_PAUSED = 0x08;
const CHECK_PASSED = '3';

/** Of a backend: answers by class. HAProxy's own "503, no server" is in hrsp_5xx, so errors are no measure of what is carried. */
const ANSWERS = ['hrsp_1xx', 'hrsp_2xx', 'hrsp_3xx', 'hrsp_4xx', 'hrsp_other'];

type Row = ReadonlyMap<string, string>;

/** The line that asks for these backends. */
export function stateQuestion(backends: readonly string[]): string {
  // All proxies, because "show stat NAME" takes a frontend of that name for the backend. 6: backends (2) and servers (4).
  return ['show stat -1 6 -1', ...backends.map((backend) => `show servers state ${backend}`)].join(';');
}

/** @throws DIRECTOR_FAILED when a backend is not there or the answer is not understood */
export function readState(answer: string, backends: readonly string[]): readonly Backend[] {
  const [stat = '', ...states] = answer.split('\n\n').map((part) => part.trim());
  if (!stat.startsWith('# pxname,')) throw notUnderstood(stat);
  const rows = tableOf(stat.slice(2).split('\n').map(fieldsOf));
  return backends.map((name, index) => {
    const state = states[index] ?? '';
    if (state.startsWith("Can't find backend")) {
      throw new UnderstudyError('DIRECTOR_FAILED', `haproxy.cfg has no backend "${name}"`);
    }
    return backendOf(name, rows, serverStates(state));
  });
}

function backendOf(name: string, rows: readonly Row[], states: ReadonlyMap<string, Row>): Backend {
  const own = rows.filter((row) => row.get('pxname') === name);
  const total = own.find((row) => row.get('type') === '1');
  if (total === undefined) throw notUnderstood(`no counters of backend ${name}`);
  const servers = own
    .filter((row) => row.get('type') === '2')
    .flatMap((row) => {
      const state = states.get(row.get('svname') ?? '');
      // Added or deleted between the two answers: the next look is clear.
      return state === undefined ? [] : [serverOf(row, state)];
    });
  const http = total.get('mode') === 'http';
  const queued = numberOf(total, 'qcur');
  // Requests are counted when they are over, connections (TCP) when they come; "scur" has those that are open, queued ones too.
  const open = numberOf(total, 'scur');
  const requestsTotal = http ? numberOf(total, 'req_tot') + open : numberOf(total, 'stot');
  const answeredTotal = http
    ? ANSWERS.reduce((sum, field) => sum + numberOf(total, field, 0), 0)
    : Math.max(0, requestsTotal - open);
  return { name, servers, queued, requestsTotal, answeredTotal };
}

function serverOf(row: Row, state: Row): BackendServer {
  const admin = numberOf(state, 'srv_admin_state');
  const check = numberOf(state, 'srv_check_state');
  const requestsTotal = numberOf(row, 'stot');
  const timed = row.get('mode') === 'http' && requestsTotal > 0;
  return {
    name: row.get('svname') ?? '',
    address: canonicalAddress(state.get('srv_addr') ?? ''),
    port: numberOf(state, 'srv_port'),
    ordered: admin & ADMIN_MAINT ? 'maint' : admin & ADMIN_DRAIN ? 'drain' : 'none',
    up: OPERATIONAL_UP.includes(state.get('srv_op_state') ?? ''),
    weight: numberOf(state, 'srv_uweight'),
    checked: (check & CHECK_ENABLED) !== 0 && (check & CHECK_PAUSED) === 0,
    passed: hasPassed(row, state),
    text: [row.get('status'), row.get('check_desc'), row.get('last_chk')].filter(Boolean).join(', '),
    connections: numberOf(row, 'scur') + numberOf(row, 'qcur'),
    requestsTotal,
    // Could not connect; broken answers; answers of class 5xx. None is counted in another.
    errorsTotal: numberOf(row, 'econ') + numberOf(row, 'eresp') + numberOf(row, 'hrsp_5xx', 0),
    responseTimeMs: timed ? numberOf(row, 'rtime', 0) : null,
    checkMs: (row.get('check_duration') ?? '') === '' ? null : numberOf(row, 'check_duration'),
    queued: numberOf(row, 'qcur'),
  };
}

/**
 * A server that is enabled begins with `rise` points and is taken for up before it has been checked. A check that passes gives
 * all points there are, `rise + fall - 1`; that tells that one was made, unless `fall` is 1.
 */
function hasPassed(row: Row, state: Row): boolean {
  const fall = numberOf(row, 'check_fall', 0);
  if (fall <= 1) return state.get('srv_check_result') === CHECK_PASSED;
  return numberOf(row, 'check_health', 0) === numberOf(row, 'check_rise', 0) + fall - 1;
}

/** By the server's name. The first line is the version of the format, the second the heading. */
function serverStates(text: string): ReadonlyMap<string, Row> {
  const [version, heading = '', ...lines] = text.split('\n');
  if (version !== '1' || !heading.startsWith('# ')) throw notUnderstood(text);
  const rows = tableOf([heading.slice(2), ...lines].map((line) => line.split(' ')));
  return new Map(rows.map((row) => [row.get('srv_name') ?? '', row]));
}

function tableOf(lines: readonly (readonly string[])[]): readonly Row[] {
  const [heading = [], ...rest] = lines;
  return rest.map((fields) => new Map(heading.map((name, index) => [name, fields[index] ?? ''])));
}

/** One line of comma-separated values, RFC 4180: a field in quotes may have commas and doubled quotes in it. */
export function fieldsOf(line: string): readonly string[] {
  return [...`${line},`.matchAll(/(?:"((?:[^"]|"")*)"|([^,]*)),/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
}

/** @param missing what an empty field means; without it the field has to be there */
function numberOf(row: Row, name: string, missing?: number): number {
  const text = row.get(name) ?? '';
  if (text === '' && missing !== undefined) return missing;
  const number = Number(text);
  if (text === '' || !Number.isFinite(number)) throw notUnderstood(`${name} is "${text}"`);
  return number;
}

/** IPv6 addresses can be written in several ways. */
export function canonicalAddress(address: string): string {
  return isIPv6(address) ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : address;
}

function notUnderstood(text: string): UnderstudyError {
  const line = text.split('\n', 1)[0] ?? '';
  return new UnderstudyError('DIRECTOR_FAILED', `HAProxy's answer is not understood: ${line.slice(0, 200)}`);
}
