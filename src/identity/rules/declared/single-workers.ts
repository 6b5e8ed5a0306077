// Programs of which one works for all: what fetches, mirrors or announces by itself would do so twice.
import { type Clue, clueRule } from '../clue.ts';

const DNS = 'It tells the name service that the name of the lead leads here, and takes the traffic to the clone.';
const FETCH = 'It fetches mail from accounts elsewhere; of two that do so, each gets a part.';
const MIRROR = 'It writes to another place what changes here; two hosts that do so overwrite each other.';

function worker(at: readonly string[], why: string, units: readonly string[], more: Partial<Clue> = {}): Clue {
  return { at, why, secret: true, becomes: { action: 'disable', units: () => units }, ...more };
}

export const singleWorkersRule = clueRule('single-workers', [
  worker(['/etc/ddclient.conf', '/etc/ddclient/ddclient.conf'], DNS, ['ddclient.service'], {
    value: 'dynamic DNS (ddclient)',
  }),
  worker(['/etc/inadyn.conf', '/etc/inadyn/*.conf'], DNS, ['inadyn.service'], { value: 'dynamic DNS (inadyn)' }),
  worker(
    ['/usr/local/etc/no-ip2.conf', '/etc/no-ip2.conf', '/etc/default/noip-duc'],
    DNS,
    ['noip2.service', 'noip.service', 'noip-duc.service'],
    { value: 'dynamic DNS (No-IP)' },
  ),
  worker(['/etc/ez-ipupdate.conf', '/etc/ez-ipupdate/*.conf'], DNS, ['ez-ipupdate.service'], {
    value: 'dynamic DNS (ez-ipupdate)',
  }),
  worker(
    [
      '/etc/{dyndnsc,dyndns,nsupdate,duckdns,godns,cloudflare-ddns}{,/*}.{conf,cfg,toml,json,yml,yaml}',
      '/etc/{dyndnsc,godns,cloudflare-ddns}/*',
    ],
    DNS,
    ['dyndnsc.service', 'godns.service', 'cloudflare-ddns.service', 'duckdns.service'],
    { value: 'dynamic DNS' },
  ),
  worker(
    ['/etc/fetchmailrc', '/var/lib/fetchmail/.fetchmailrc', '/root/.fetchmailrc', '/home/*/.fetchmailrc'],
    FETCH,
    ['fetchmail.service'],
    { value: 'accounts of mail (fetchmail)' },
  ),
  worker(['/etc/getmail{,6}/*', '/root/.getmail/*', '/home/*/.getmail/getmailrc'], FETCH, ['getmail.service'], {
    value: 'accounts of mail (getmail)',
  }),
  worker(['/etc/lsyncd.conf', '/etc/lsyncd/lsyncd.conf.lua', '/etc/lsyncd/*.lua'], MIRROR, ['lsyncd.service'], {
    value: 'a mirror (lsyncd)',
  }),
  worker(['/etc/csync2.cfg', '/etc/csync2/*.cfg'], MIRROR, ['csync2.socket', 'csync2.service'], {
    value: 'a mirror (csync2)',
  }),
  worker(
    [
      '/home/*/{.config,.local/state}/syncthing/key.pem',
      '/root/{.config,.local/state}/syncthing/key.pem',
      '/var/lib/syncthing/{,.config/syncthing/,.local/state/syncthing/}key.pem',
    ],
    'Other devices know this one by the key, and take changes from whichever of the two is there.',
    [],
    { value: 'a device (Syncthing)', becomes: { action: 'disable', units: syncthingUnits } },
  ),
  worker(['/etc/resilio-sync/config.json', '/var/lib/resilio-sync/settings.dat'], MIRROR, ['resilio-sync.service'], {
    value: 'a device (Resilio Sync)',
  }),
]);

/** Whose key it is says which instance uses it; "syncthing@anna" runs as anna. */
function syncthingUnits(path: string): readonly string[] {
  const user = /^\/home\/([^/]+)\//.exec(path)?.[1] ?? (path.startsWith('/root/') ? 'root' : 'syncthing');
  return [`syncthing@${user}.service`, 'syncthing.service'];
}
