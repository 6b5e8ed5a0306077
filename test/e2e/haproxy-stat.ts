// HAProxy's own statistics, read past our director.
import { connect } from 'node:net';

export interface ServerStat {
  readonly backend: string;
  readonly server: string;
  /** Requests that it has answered. */
  readonly requests: number;
}

/** "show stat" of the runtime socket: CSV, whose first line names the columns (management guide 2.6, section 9.1). */
export async function askHaproxyStat(socket: string): Promise<readonly ServerStat[]> {
  const text = await new Promise<string>((resolve, reject) => {
    let answer = '';
    const connection = connect(socket, () => connection.end('show stat\n'));
    connection.setEncoding('utf8').on('data', (chunk) => {
      answer += String(chunk);
    });
    connection.on('end', () => resolve(answer)).on('error', reject);
  });
  const [head = '', ...lines] = text
    .replace(/^# /, '')
    .split('\n')
    .filter((line) => line !== '');
  const columns = head.split(',');
  const at = (line: string, name: string): string => line.split(',')[columns.indexOf(name)] ?? '';
  return lines
    .filter((line) => !['FRONTEND', 'BACKEND'].includes(at(line, 'svname')))
    .map((line) => ({
      backend: at(line, 'pxname'),
      server: at(line, 'svname'),
      requests: Number(at(line, 'hrsp_2xx')),
    }));
}
