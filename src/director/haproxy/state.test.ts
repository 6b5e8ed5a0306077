import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codeOf, messageOf } from '../../base/mod.ts';
import { canonicalAddress, fieldsOf, readState, stateQuestion } from './state.ts';

const STAT_HEADING =
  '# pxname,svname,qcur,scur,stot,econ,eresp,status,type,hrsp_5xx,req_tot,last_chk,rtime,check_desc,check_rise,check_fall,check_health,mode,hrsp_2xx,hrsp_4xx,check_duration,';
const STATE_HEADING =
  '# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_check_result srv_check_health srv_check_state srv_port';
const BACKEND = 'wiki,BACKEND,2,0,9,1,0,UP,1,3,10,,5,,,,,http,6,1,,';

/** HAProxy's answer about one backend with one server. */
function answer(stat: string, state: string): string {
  return `${STAT_HEADING}\n${stat}\n${BACKEND}\n\n1\n${STATE_HEADING}\n${state}\n\n`;
}

function server(stat: string, state: string) {
  return readState(answer(stat, state), ['wiki'])[0]?.servers[0];
}

const STAT = 'wiki,web1,1,3,7,1,2,UP,2,4,7,,12,Layer7 check passed,2,3,4,http,6,1,17,';
const STATE = '3 wiki 1 web1 10.0.0.11 2 0 1 3 4 6 80';

function failure(text: string): string {
  try {
    readState(text, ['wiki']);
    return 'none';
  } catch (error) {
    return codeOf(error) === 'DIRECTOR_FAILED' ? messageOf(error) : String(error);
  }
}

describe('the state of HAProxy', () => {
  it('is asked for in one line', () => {
    expect(stateQuestion(['a', 'b'])).toBe('show stat -1 6 -1;show servers state a;show servers state b');
  });

  it('is read from both answers', () => {
    expect(readState(answer(STAT, STATE), ['wiki'])).toEqual([
      {
        name: 'wiki',
        queued: 2,
        requestsTotal: 10,
        answeredTotal: 7,
        servers: [
          {
            name: 'web1',
            address: '10.0.0.11',
            port: 80,
            ordered: 'none',
            up: true,
            weight: 1,
            checked: true,
            passed: true,
            text: 'UP, Layer7 check passed',
            connections: 4,
            requestsTotal: 7,
            errorsTotal: 7,
            responseTimeMs: 12,
            checkMs: 17,
            queued: 1,
          },
        ],
      },
    ]);
  });

  it.each([
    ['0', 'none'],
    ['1', 'maint'],
    ['5', 'maint'],
    ['2', 'maint'],
    ['32', 'maint'],
    ['8', 'drain'],
    ['16', 'drain'],
    ['9', 'maint'],
    // Only says that its name came from the socket.
    ['64', 'none'],
  ])('srv_admin_state %s is %s', (admin, ordered) => {
    expect(server(STAT, STATE.replace(' 2 0 1 3', ` 2 ${admin} 1 3`))?.ordered).toBe(ordered);
  });

  it.each([
    ['0', false],
    ['1', true],
    ['2', true],
    ['3', false],
  ])('srv_op_state %s: takes requests %s', (operational, up) => {
    expect(server(STAT, STATE.replace(' 2 0 1 3', ` ${operational} 0 1 3`))?.up).toBe(up);
  });

  it('does not take a server for checked that was only enabled', () => {
    expect(server(STAT.replace('2,3,4,http', '2,3,2,http'), STATE)?.passed).toBe(false);
    expect(server(STAT.replace('2,3,4,http', '2,3,3,http'), STATE)?.passed).toBe(false);
    // With fall 1 the points do not tell, so the last result has to.
    expect(server(STAT.replace('2,3,4,http', '2,1,2,http'), STATE)?.passed).toBe(true);
    expect(server(STAT.replace('2,3,4,http', '2,1,2,http'), STATE.replace(' 1 3 4', ' 1 0 4'))?.passed).toBe(false);
  });

  it('knows servers whose checks are off or paused', () => {
    expect(server(STAT, STATE.replace(' 6 80', ' 2 80'))?.checked).toBe(false);
    expect(server(STAT, STATE.replace(' 6 80', ' 14 80'))?.checked).toBe(false);
  });

  it('has no response time before the first request, nor in TCP mode', () => {
    expect(server(STAT.replace('1,3,7', '1,3,0'), STATE)?.responseTimeMs).toBeNull();
    expect(server(STAT.replace(',http,', ',tcp,'), STATE)?.responseTimeMs).toBeNull();
  });

  it('leaves a server out that only one of the two answers has', () => {
    expect(server(STAT, STATE.replace('web1', 'web2'))).toBeUndefined();
  });

  it.each([
    ['', 'not understood'],
    ['Unknown command.\n\n', 'Unknown command'],
    [`${STAT_HEADING}\n${BACKEND}\n\nCan't find backend.\n\n`, 'no backend "wiki"'],
    [`${STAT_HEADING}\n\n1\n${STATE_HEADING}\n\n`, 'no counters'],
    [`${STAT_HEADING}\n${BACKEND}\n\n2\n${STATE_HEADING}\n\n`, 'not understood'],
    [`${STAT_HEADING}\n${BACKEND}\n\n`, 'not understood'],
    [answer(STAT.replace('1,3,7', '1,?,7'), STATE), 'scur is "?"'],
    [answer(STAT, STATE.replace(' 80', '')), 'srv_port is ""'],
  ])('refuses answer %#', (text, words) => {
    expect(failure(text)).toContain(words);
  });

  it('takes IPv6 addresses for equal that are', () => {
    expect(canonicalAddress('2001:db8:0::1')).toBe(canonicalAddress('2001:0DB8::0001'));
    expect(canonicalAddress('10.0.0.1')).toBe('10.0.0.1');
  });

  it('reads fields as they were written', () => {
    const quoted = (field: string): string => (/[",]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);
    const field = fc.string().filter((text) => !/[\n\r]/.test(text));
    fc.assert(
      fc.property(fc.array(field, { minLength: 1 }), (fields) => {
        expect(fieldsOf(fields.map(quoted).join(','))).toEqual(fields);
      }),
    );
  });
});
