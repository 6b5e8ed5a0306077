// An interface that listens on loopback with TLS, in front of a controller of a test, and clients that show what they
// like.
import type { IncomingMessage } from 'node:http';
import { type Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { type Api, createApi, digestOf } from '../../src/api/mod.ts';
import type { LogRecord } from '../../src/base/mod.ts';
import { loadConfiguration } from '../../src/config/mod.ts';
import { patience } from '../rig/patience.ts';
import { OPERATOR, VIEWER } from './api-stage.ts';
import { type Pem, TestAuthority } from './authority.ts';
import { ConfigFolder, changed, drivers } from './config-folder.ts';
import { ControllerPeer } from './controller-peer.ts';

export const NODE = 'san-a';

export interface TlsAsk {
  readonly method?: string;
  readonly body?: unknown;
  readonly pem?: Pem;
  readonly token?: string;
  readonly agent?: Agent;
  readonly options?: RequestOptions;
}

export interface TlsAnswer {
  readonly status: number;
  readonly json: unknown;
  readonly text: string;
  /** Of the server's certificate. */
  readonly serial: string;
}

export class TlsStage {
  readonly authority: TestAuthority;
  readonly config: ConfigFolder;
  readonly controller = new ControllerPeer();
  readonly said: string[] = [];
  readonly file: string;
  api!: Api;
  url = '';

  static async open(): Promise<TlsStage> {
    const authority = await TestAuthority.make();
    await authority.node(NODE);
    const stage = new TlsStage(authority);
    await stage.start();
    return stage;
  }

  private constructor(authority: TestAuthority) {
    this.authority = authority;
    this.config = new ConfigFolder();
    const lines = [`operator alice sha256:${digestOf(OPERATOR)}`, `viewer grafana sha256:${digestOf(VIEWER)}`];
    this.config.secret('api', `${lines.join('\n')}\n`);
    const tls = `state: state\ntls: { folder: ${authority.folder}, name: ${NODE} }\n`;
    this.file = this.config.write(changed('state: state\n', tls));
  }

  async start(): Promise<void> {
    const configuration = await loadConfiguration(this.file, drivers);
    const log = ({ message }: LogRecord): void => void this.said.push(message);
    this.api = await createApi({ controller: this.controller, configuration, version: '1.2.3', log });
    this.url = (await this.api.listen()).url;
  }

  async close(): Promise<void> {
    await this.api.close();
    this.config.remove();
    this.authority.remove();
  }

  /** @param pem of the user, host or node that asks; rejects when the server hangs up */
  ask(path: string, { method, body, pem, token, agent, options }: TlsAsk = {}): Promise<TlsAnswer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const headers = {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      };
      const request = httpsRequest(
        `${this.url}${path}`,
        {
          method: method ?? (text === undefined ? 'GET' : 'POST'),
          headers,
          agent: agent ?? false,
          timeout: patience(30_000),
          ca: this.authority.authorityPem,
          ...pem,
          ...options,
        },
        (response) => void collect(response).then(resolve, reject),
      );
      request.on('error', reject);
      request.on('timeout', () => request.destroy(new Error('no answer')));
      request.end(text);
    });
  }
}

async function collect(response: IncomingMessage): Promise<TlsAnswer> {
  const socket = response.socket as import('node:tls').TLSSocket;
  const serial = socket.getPeerCertificate().serialNumber.toLowerCase();
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const isJson = response.headers['content-type']?.startsWith('application/json') === true;
  return { status: response.statusCode ?? 0, json: isJson ? JSON.parse(text) : null, text, serial };
}
