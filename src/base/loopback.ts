import { isIPv4 } from 'node:net';

/**
 * Whether what is sent to this address or name stays on this machine: 127.0.0.0/8 (RFC 1122, 3.2.1.3), ::1 (RFC 4291,
 * 2.5.3), and "localhost", which resolvers must not ask others for (RFC 6761, 6.3).
 * @param host also as in a URL, with brackets
 */
export function isLoopback(host: string): boolean {
  if (isIPv4(host)) return host.startsWith('127.');
  return ['::1', '[::1]', 'localhost'].includes(host.toLowerCase());
}
