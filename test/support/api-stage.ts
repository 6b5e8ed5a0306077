// An interface that really listens on loopback, in front of a controller of a test.
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { type Api, type ApiOptions, createApi } from '../../src/api/mod.ts';
import type { LogRecord } from '../../src/base/mod.ts';
import { loadConfiguration } from '../../src/config/mod.ts';
import { patience } from '../rig/patience.ts';
import { ConfigFolder, changed, drivers } from './config-folder.ts';
import { ControllerPeer } from './controller-peer.ts';

export const OPERATOR = 'operator-0123456789abcdef';
export const VIEWER = 'viewer-0123456789abcdef';
export const AGENT = 'agent-of-web1-0123456789abcdef';
export const OTHER_AGENT = 'agent-of-spare1-0123456789abcdef';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON. */
  readonly json: unknown;
}

export interface AskOptions {
  readonly method?: string;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; a text is sent as it is. */
  readonly body?: unknown;
}

export class ApiStage {
  readonly config: ConfigFolder;
  readonly controller: ControllerPeer;
  /** Errors that nobody expected, and the routes in which they happened. */
  readonly defects: unknown[];
  readonly routes: string[];
  /** Lines of the log. */
  readonly said: string[];
  readonly file: string;
  readonly url: string;
  readonly api: Api;

  /** @param tokens further lines of the file of tokens @param edit changes understudy.yaml */
  static async open(
    tokens = '',
    edit = (text: string): string => text,
    options: Pick<ApiOptions, 'waiting'> = {},
  ): Promise<ApiStage> {
    const config = new ConfigFolder();
    config.secret('api', `# people\noperator alice ${OPERATOR}\n\nviewer grafana ${VIEWER}\n${tokens}`);
    config.secret('web1', `${AGENT}\n`);
    config.secret('spare1', OTHER_AGENT);
    const text = changed('    volume: spare1\n', '    volume: spare1\n    agentTokenFile: secrets/spare1\n');
    const file = config.write(edit(text));
    const controller = new ControllerPeer();
    const defects: unknown[] = [];
    const routes: string[] = [];
    const configuration = await loadConfiguration(file, drivers);
    const onDefect = (error: unknown, request: string): void => {
      defects.push(error);
      routes.push(request);
    };
    const said: string[] = [];
    const log = ({ message }: LogRecord): void => void said.push(message);
    const reload = (dryRun: boolean) => controller.reload(dryRun);
    const api = await createApi({ controller, configuration, version: '1.2.3', onDefect, log, reload, ...options });
    const { url } = await api.listen();
    return new ApiStage({ config, controller, defects, routes, said, file, url, api });
  }

  private constructor(
    parts: Pick<ApiStage, 'config' | 'controller' | 'defects' | 'routes' | 'said' | 'file' | 'url' | 'api'>,
  ) {
    this.config = parts.config;
    this.controller = parts.controller;
    this.defects = parts.defects;
    this.routes = parts.routes;
    this.said = parts.said;
    this.file = parts.file;
    this.url = parts.url;
    this.api = parts.api;
  }

  async close(): Promise<void> {
    await this.api.close();
    this.config.remove();
  }

  ask(path: string, options: AskOptions = {}): Promise<Answer> {
    const { method = options.body === undefined ? 'GET' : 'POST', token, body } = options;
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
      ...options.headers,
    };
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        `${this.url}${path}`,
        { method, headers, agent: false, timeout: patience(30_000) },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const received = Buffer.concat(chunks).toString();
            const isJson = response.headers['content-type']?.startsWith('application/json') === true;
            const json = isJson && received !== '' ? JSON.parse(received) : null;
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text: received, json });
          });
        },
      );
      request.on('error', reject);
      request.on('timeout', () => request.destroy(new Error('no answer')));
      request.end(text);
    });
  }
}
