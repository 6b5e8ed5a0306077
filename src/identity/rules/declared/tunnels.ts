// Further tunnels by whose keys a network knows a host: tinc(8), Nebula, cloudflared, and others that dial out.
import type { Clue } from '../clue.ts';

const KEY = 'The other end knows the host by this key, and sends everything to whichever of the two spoke last.';
const DIALS = 'It opens a way to the host from outside, and requests for the lead would reach either of the two.';

function tunnel(value: string, at: readonly string[], units: (path: string) => readonly string[], why = KEY): Clue {
  return { at, value, secret: true, why, becomes: { action: 'disable', units } };
}

export const tunnels: readonly Clue[] = [
  tunnel('a key (tinc)', ['/etc/tinc/*/{rsa_key,ed25519_key}.priv'], (path) => [
    `tinc@${path.split('/')[3] ?? ''}.service`,
    'tinc.service',
  ]),
  tunnel('a key (Nebula)', ['/etc/nebula/**/*.key'], (path) => [
    'nebula.service',
    `nebula@${path.split('/')[3] ?? ''}.service`,
    'nebula@config.service',
  ]),
  tunnel(
    'a tunnel (cloudflared)',
    ['/etc/cloudflared/*.{json,yml,yaml}', '/root/.cloudflared/*.json', '/home/*/.cloudflared/*.json'],
    () => ['cloudflared.service'],
    DIALS,
  ),
  // A token on the command line is all that it has then.
  tunnel('a tunnel (cloudflared)', ['/etc/systemd/system/cloudflared.service'], () => ['cloudflared.service'], DIALS),
  tunnel(
    'a tunnel (ngrok, frp)',
    ['/etc/ngrok/*.yml', '/etc/ngrok.yml', '/etc/frp/frpc.{toml,ini,yaml}'],
    () => ['ngrok.service', 'frpc.service'],
    DIALS,
  ),
  tunnel(
    'a key (innernet, Netmaker, Headscale)',
    ['/etc/innernet/*.conf', '/etc/netclient/{nodes.json,netclient.json}'],
    (path) => [
      `innernet@${
        path
          .split('/')
          .at(-1)
          ?.replace(/\.conf$/, '') ?? ''
      }.service`,
      'netclient.service',
    ],
  ),
  tunnel(
    'a key (Yggdrasil, cjdns)',
    ['/etc/yggdrasil.conf', '/etc/yggdrasil/yggdrasil.conf', '/etc/cjdroute.conf'],
    () => ['yggdrasil.service', 'cjdns.service'],
  ),
  tunnel(
    'a hidden service (Tor)',
    ['/var/lib/tor/**/hs_ed25519_secret_key'],
    () => ['tor.service', 'tor@default.service'],
    'A hidden service has one address; of two hosts that announce it, one is reached by chance.',
  ),
];
