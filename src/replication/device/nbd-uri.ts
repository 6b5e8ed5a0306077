// NBD URIs (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md), as libnbd reads them:
// nbd_connect_uri(3).
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { errnoOf, UnderstudyError } from '../../base/mod.ts';

const PORT_DEFAULT = 10809;
const SCHEMES = ['nbd', 'nbds', 'nbd+unix', 'nbds+unix', 'nbd+vsock', 'nbds+vsock'];

function usage(uri: string, why: string): UnderstudyError {
  return new UnderstudyError('USAGE', `"${uri}" is not an NBD URI: ${why}; write for example nbd://host:10809/export`);
}

function decode(uri: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new UnderstudyError('USAGE', `"${uri}" is not an NBD URI: "${text}" is wrongly escaped`, { cause });
  }
}

/** Query parameters. Not URLSearchParams: that reads "+" as a space, and socket paths may have plus signs. */
function queryOf(uri: string, search: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const pair of search.split(/[&;]/)) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const name = at < 0 ? pair : pair.slice(0, at);
    out.set(decode(uri, name), decode(uri, at < 0 ? '' : pair.slice(at + 1)));
  }
  return out;
}

/** The one path of a socket that may have many; a socket that is not there yet keeps the path that it was given. */
function realSocket(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return resolve(path);
  }
}

/** Whether a name is meant as an NBD URI; schemes are the same in capital letters (RFC 3986, 3.1). */
export function isNbdUri(name: string): boolean {
  return /^nbds?(\+(unix|vsock))?:/i.test(name);
}

/**
 * The URI for libnbd in any process: it knows schemes in small letters only, forgets the port where there is no host,
 * and a reader has another current folder than who named a socket by a relative path. @throws USAGE
 */
export function reachableNbdUri(uri: string): string {
  const known = uri
    .replace(/^[a-z+]+:/i, (scheme) => scheme.toLowerCase())
    .replace(/^(nbds?:\/\/(?:[^@/?#]*@)?)(?=:[0-9])/, '$1localhost');
  // In the query alone: an export may be called "a;socket=b".
  const query = /\?.*$/s.exec(known)?.index ?? known.length;
  const search = known.slice(query).replace(/([?&;]socket=)([^&;#]+)/, (_, before: string, socket: string) => {
    const path = decode(uri, socket);
    return `${before}${path.startsWith('/') ? socket : escapePath(resolve(path))}`;
  });
  return known.slice(0, query) + search;
}

/**
 * One spelling for every way to name the same export: scheme, lower-case host, port, escaped export name; for Unix
 * sockets the real path of the socket. Credentials (user, TLS files) are no part of it: they do not change what is
 * stored.
 * @throws USAGE for a URI that libnbd would not read
 */
export function canonicalNbdUri(uri: string): string {
  // Not the class URL: it resolves "." and ".." in paths, which export names may contain.
  const match = /^([a-z+]+):\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i.exec(uri);
  if (match === null || /[\s\\]/.test(uri)) throw usage(uri, 'it is not of the form scheme://host:port/export');
  const [, written = '', authority = '', path = '', search = ''] = match;
  const scheme = written.toLowerCase();
  if (!SCHEMES.includes(scheme)) throw usage(uri, `the scheme is not one of ${SCHEMES.join(', ')}`);
  const name = escapePath(decode(uri, path));
  const socket = queryOf(uri, search).get('socket');
  if (scheme.endsWith('+unix')) {
    if (socket === undefined || socket === '') throw usage(uri, 'a Unix socket is named by ?socket=PATH');
    if (socket.includes('\0')) throw usage(uri, 'a path cannot contain a NUL');
    return `${scheme}:///${name}?socket=${escapePath(realSocket(socket))}`;
  }
  if (socket !== undefined) throw usage(uri, '?socket= goes with nbd+unix: only');
  return `${scheme}://${canonicalHost(uri, authority)}/${name}`;
}

function escapePath(path: string): string {
  return encodeURIComponent(path).replaceAll('%2F', '/');
}

/** "[user@]host[:port]" without the user, with the port. */
function canonicalHost(uri: string, authority: string): string {
  const match = /^(?:[^@]*@)?(\[[0-9a-fA-F:.%]+\]|[^:[\]@]*)(?::([0-9]+))?$/.exec(authority);
  if (match === null) throw usage(uri, `"${authority}" is not HOST:PORT`);
  const port = match[2] === undefined ? PORT_DEFAULT : Number(match[2]);
  if (port < 1 || port > 65_535) throw usage(uri, `${port} is not a port`);
  // Without a host libnbd takes the machine it runs on.
  const host = decode(uri, match[1] ?? '').toLowerCase() || 'localhost';
  // An escaped slash would make the rest of the host an export.
  if (/[\s/?#@\\\0]/.test(host)) throw usage(uri, `"${match[1]}" is not a host`);
  return `${host.replaceAll('%', '%25')}:${port}`;
}
