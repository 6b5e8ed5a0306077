import { describe, expect, it } from 'vitest';
import { formatProblem, readConfiguration } from '../../src/config/mod.ts';
import { ConfigFolder, changed, drivers } from '../support/config-folder.ts';

/** What is wrong with a text, without the name of its folder. */
async function problemsOf(text: string): Promise<readonly string[]> {
  const config = new ConfigFolder();
  try {
    const { problems } = await readConfiguration(config.write(text), drivers);
    return problems.map((problem) => formatProblem(problem).replaceAll(`${config.folder}/`, ''));
  } finally {
    config.remove();
  }
}

/** Line and column where a part of a text begins. */
function placeOf(text: string, part: string): string {
  const before = text.slice(0, text.indexOf(part)).split('\n');
  return `${before.length}:${(before.at(-1) ?? '').length + 1}`;
}

/** Name, what is changed to what, where the problem is seen, and what is said. */
type Case = readonly [string, string, string, string, string];

const NO_NAME = 'is not a name (write for example web1: lower-case letters, digits and "-", at most 63)';
const NO_CIDR = 'is not an address with the length of its network (write for example 10.20.0.11/24)';
const NO_MAC =
  'is not the MAC address of one computer (write for example 52:54:00:12:34:56: the second digit even, an odd one means many computers)';

const entries: readonly Case[] = [
  ['unknown', 'port: 0', 'prot: 0', 'prot', 'api: there is no entry "prot" (did you mean port?)'],
  [
    'unknown, and none near',
    'port: 0',
    'colour: 1',
    'colour',
    'api: there is no entry "colour" (known: host, port, advertise, insecure, tokensFile)',
  ],
  ['missing', '    port: 80\n', '', 'wiki:', 'services.wiki: "port" is missing'],
  [
    'a text for a number',
    'port: 80',
    'port: "80"',
    '"80"',
    'services.wiki.port: must be a number, not "80" (without quotes: 80)',
  ],
  [
    'a number for a text',
    'contains: x',
    'contains: 7',
    '7 }',
    'services.wiki.check.contains: must be a text, not 7 (put it in quotes: "7")',
  ],
  [
    'no unit',
    'below: 400',
    'below: 400, fast: 10',
    '10 }',
    'services.wiki.objective.fast: must be a text, not 10 (write for example 10s)',
  ],
  [
    'an unknown unit',
    'below: 400',
    'below: 400, fast: 10d',
    '10d',
    'services.wiki.objective.fast: "10d" is not a duration (write for example 10s)',
  ],
  [
    'a rate that is none',
    'volumes:',
    'storage: { backgroundRate: 200X }\nvolumes:',
    '200X',
    'storage.backgroundRate: "200X" is not a size (write for example 4G)',
  ],
  ['too much', 'port: 80', 'port: 80808', '80808', 'services.wiki.port: must be at most 65535'],
  [
    'too long a time',
    'below: 400',
    'below: 400, fast: 2h',
    '2h',
    'services.wiki.objective.fast: 2h is out of range (from 2s to 1h)',
  ],
  ['a part of a number', 'port: 80', 'port: 80.5', '80.5', 'services.wiki.port: must be a whole number, not 80.5'],
  [
    'not one of the choices',
    'port: 80',
    'port: 80\n    mode: automtic',
    'automtic',
    'services.wiki.mode: must be one of advise, approve, automatic, not "automtic" (did you mean automatic?)',
  ],
  [
    'a text for a list',
    'pool: [spare1]',
    'pool: spare1',
    'spare1\n    port',
    'services.wiki.pool: must be a list, not "spare1" (write [ ... ], or lines that begin with "- ")',
  ],
  [
    'nothing below',
    'api:\n  port: 0\n  tokensFile: secrets/api\n',
    'api:\n',
    'api:',
    'api: must be a group of entries, not nothing (nothing is below it: is the indentation right?)',
  ],
  ['a name that is none', '  wiki:', '  Wiki_1:', 'Wiki_1', `services.Wiki_1: "Wiki_1" ${NO_NAME}`],
  [
    'a path without begin',
    'contains: x',
    'path: wiki',
    'wiki }',
    'services.wiki.check.path: must begin with "/" and have no spaces',
  ],
];

const network: readonly Case[] = [
  [
    'the MAC address of a group',
    '52:54:00:00:00:0A',
    '53:54:00:00:00:0A',
    '53:54',
    `hosts.web1.interfaces[0].mac: "53:54:00:00:00:0A" ${NO_MAC}`,
  ],
  [
    'an address alone',
    '10.0.0.11/24',
    '10.0.0.11',
    '10.0.0.11',
    `hosts.web1.interfaces[0].addresses[0]: "10.0.0.11" ${NO_CIDR}`,
  ],
  [
    'no address',
    '10.0.0.11/24',
    '10.0.0.300/24',
    '10.0.0.300',
    `hosts.web1.interfaces[0].addresses[0]: "10.0.0.300/24" ${NO_CIDR}`,
  ],
  [
    'a network for a host',
    '10.0.0.11/24',
    '10.0.0.0/24',
    '10.0.0.0/24',
    'hosts.web1.interfaces[0].addresses[0]: 10.0.0.0/24 means the network itself (write the address of the host)',
  ],
  [
    'a broadcast address',
    '10.0.0.11/24',
    '10.0.0.255/24',
    '10.0.0.255',
    'hosts.web1.interfaces[0].addresses[0]: 10.0.0.255/24 means everybody in the network (write the address of the host)',
  ],
  [
    'an IPv6 address first',
    '10.0.0.12/24',
    'fd00::1/64',
    'fd00',
    'hosts.spare1.interfaces[0].addresses[0]: the first address must be an IPv4 address (duplicates of it are looked for with ARP; write IPv6 addresses after it)',
  ],
  [
    'a gateway outside',
    'gateway: 10.0.0.1',
    'gateway: 10.0.1.1',
    '10.0.1.1',
    'hosts.web1.interfaces[0].gateway: 10.0.1.1 is not in the network of 10.0.0.11/24 (it could not be reached)',
  ],
  [
    'the host as its gateway',
    'gateway: 10.0.0.1 ',
    'gateway: 10.0.0.11 ',
    '10.0.0.11 ',
    'hosts.web1.interfaces[0].gateway: 10.0.0.11 is the host itself',
  ],
  [
    'a second default route',
    'gateway: 10.0.0.1 }',
    'gateway: 10.0.0.1 }\n      - { name: eth1, mac: 52:54:00:00:00:0c, addresses: [10.1.0.11/24], gateway: 10.1.0.1 }',
    '10.1.0.1 }',
    'hosts.web1.interfaces[1].gateway: this host has a default route already',
  ],
  [
    'an address twice',
    '10.0.0.12/24',
    '10.0.0.11/16',
    '10.0.0.11/16',
    'hosts.spare1.interfaces[0].addresses[0]: the address 10.0.0.11 is that of hosts.web1.interfaces[0].addresses[0] already (every interface has its own)',
  ],
  [
    'a MAC address twice',
    '00:0b',
    '00:0a',
    '52:54:00:00:00:0a',
    'hosts.spare1.interfaces[0].mac: the MAC address 52:54:00:00:00:0a is that of hosts.web1.interfaces[0].mac already (every interface has its own)',
  ],
  [
    'the port of the API',
    'port: 0\n  tokensFile: secrets/api\n',
    'tokensFile: secrets/api\nstorage: { listen: 127.0.0.1:7780 }\n',
    '127.0.0.1:7780',
    'storage.listen: 127.0.0.1:7780 is where the API listens (take another port)',
  ],
  [
    'no encryption',
    'port: 0\n',
    'port: 0\n  host: 10.0.0.1\n',
    '10.0.0.1\n',
    'api.host: beyond 10.0.0.1 others would read every token, for there is no tls (set tls (docs/tls.md), or write api.insecure: true)',
  ],
  [
    'insecure with tls',
    'api:\n',
    'tls: { folder: pki, name: san-a }\napi:\n  insecure: true\n',
    'true\n',
    'api.insecure: the API is encrypted, for there is tls (remove one of the two)',
  ],
  [
    'http with tls',
    'api:\n',
    'tls: { folder: pki, name: san-a }\napi:\n  advertise: http://10.0.0.1:7780\n',
    'http://10',
    'api.advertise: agents would be told http, and the API speaks TLS (write https://)',
  ],
];

const references: readonly Case[] = [
  [
    'one volume for two hosts',
    'volume: spare1',
    'volume: web1 ',
    'web1 \n',
    'hosts.spare1.volume: the volume web1 is that of hosts.web1.volume already (two hosts that write one disk destroy it)',
  ],
  [
    'one disk under two names',
    '/dev/vg/spare1',
    'x/../disks/web1.raw',
    'x/../disks',
    'volumes.spare1.path: the file disks/web1.raw is that of volumes.web1.path already (two names for one disk would let two hosts write it)',
  ],
  [
    'one host name for two',
    'volume: spare1',
    'hostName: web1 \n    volume: spare1',
    'web1 \n',
    'hosts.spare1.hostName: the host name web1 is that of hosts.web1 already (every host has its own)',
  ],
  [
    'one token for two',
    'volume: spare1',
    'agentTokenFile: secrets/../secrets/web1\n    volume: spare1',
    'secrets/../secrets/web1',
    'hosts.spare1.agentTokenFile: the token file secrets/web1 is that of hosts.web1.agentTokenFile already (a token is that of one host)',
  ],
  [
    'no such volume',
    'volume: spare1',
    'volume: spar1',
    'spar1',
    'hosts.spare1.volume: there is no volume "spar1" (did you mean spare1?)',
  ],
  [
    'no such lead',
    'lead: web1',
    'lead: wbe1',
    'wbe1',
    'services.wiki.lead: there is no host "wbe1" (did you mean web1?)',
  ],
  [
    'no such spare',
    'pool: [spare1]',
    'pool: [spare1, elsewhere]',
    'elsewhere',
    'services.wiki.pool[1]: there is no host "elsewhere" (known: web1, spare1)',
  ],
  [
    'the lead in its pool',
    'pool: [spare1]',
    'pool: [spare1, web1]',
    'web1]',
    'services.wiki.pool[1]: web1 is the lead itself (a lead is never overwritten: take it out)',
  ],
  [
    'a spare twice',
    'pool: [spare1]',
    'pool: [spare1, spare1]',
    'spare1]',
    'services.wiki.pool[1]: spare1 is in this pool already',
  ],
  [
    'tcp with a path',
    'check: { contains: x }',
    'check: { kind: tcp, path: / }',
    'path: / }',
    'services.wiki.check.path: a tcp check has no path (remove it, or write kind: http)',
  ],
  [
    'a short window above the long',
    'below: 400',
    'below: 400, fast: 2m',
    '2m',
    'services.wiki.objective.fast: the short window is longer than the long one (at most 60s)',
  ],
  [
    'a signal that nobody measures',
    'objective: { signal: probe.milliseconds, below: 400 }',
    'signals: [{ name: probe.miliseconds, baseline: {} }]',
    'probe.miliseconds',
    'services.wiki.signals[0].name: there is no signal "probe.miliseconds" (did you mean probe.milliseconds?)',
  ],
  [
    'a signal with nothing to hold',
    'objective: { signal: probe.milliseconds, below: 400 }',
    'signals: [{ name: cpu.pressure }]',
    '{ name: cpu.pressure }',
    'services.wiki.signals[0]: "cpu.pressure" has neither an objective nor a baseline: write baseline: {}',
  ],
  [
    'a signal twice',
    'below: 400 }',
    'below: 400 }\n    signals: [{ name: probe.milliseconds, baseline: {} }]',
    'probe.milliseconds, baseline',
    'services.wiki.signals[0].name: "probe.milliseconds" is watched already',
  ],
  [
    'signals that are all outside',
    'objective: { signal: probe.milliseconds, below: 400 }',
    'signals: [{ name: cpu.pressure, baseline: {}, outside: true }]',
    'signals: [{ name: cpu',
    'services.wiki: all signals are outside, so nothing could ask for a host',
  ],
];

const settings: readonly Case[] = [
  [
    'no such driver',
    'driver: plug',
    'driver: plgu',
    'plgu',
    'hosts.web1.power.driver: there is no power driver "plgu" (did you mean plug?)',
  ],
  [
    'no such director',
    'driver: spreader',
    'driver: haproxy',
    'haproxy',
    'services.wiki.director.driver: there is no director driver "haproxy" (known: spreader)',
  ],
  [
    'unknown',
    'outlet: 1',
    'outlett: 1, outlet: 1',
    'outlett',
    'hosts.web1.power.settings: there is no entry "outlett" (did you mean outlet?)',
  ],
  ['missing', ', outlet: 1', '', 'settings:', 'hosts.web1.power.settings: "outlet" is missing'],
  ['too much', 'outlet: 1', 'outlet: 9', '9 }', 'hosts.web1.power.settings.outlet: must be at most 8'],
  [
    'wrong inside',
    'outlet: 1',
    'outlet: 1, delays: [1, x]',
    'x]',
    'hosts.web1.power.settings.delays[1]: must be a number, not "x"',
  ],
  [
    'of several kinds',
    'target: x',
    'target: { unix: y, unxi: x }',
    'unxi',
    'services.wiki.director.settings.target: there is no entry "unxi" (did you mean unix?)',
  ],
];

const yaml: readonly Case[] = [
  [
    'a key twice',
    '    volume: web1\n',
    '    volume: web1\n    "volume" : x\n',
    '"volume"',
    '"volume" is here a second time (remove one of the two)',
  ],
  ['a tab', '  port: 0', '\tport: 0', '\tport', 'a tab cannot indent (use spaces)'],
  ['an unknown alias', 'port: 80', 'port: *http', '*http', 'nothing before this is named "&http"'],
  ['an unknown tag', 'port: 80', 'port: !secret 80', '!secret', 'Unresolved tag: !secret'],
  ['two documents', 'services:', '---\nservices:', '---', 'another document begins here (remove the line "---")'],
  ['a directive', 'state: state', '%YAML 1.1\n---\nstate: state', '%YAML', 'directives ("%...") are not used here'],
  ['a prototype', 'port: 80', 'port: 80\n    __proto__: { mode: automatic }', '__proto__', '"__proto__" is no name'],
];

async function expectProblem([, from, to, at, said]: Case): Promise<void> {
  const text = changed(from, to);
  expect(await problemsOf(text)).toEqual([`understudy.yaml:${placeOf(text, at)}: ${said}`]);
}

describe('one thing that is wrong is told with its place and what to do', () => {
  it.each(entries)('config - entries: %s', (...one) => expectProblem(one));
  it.each(network)('config - network: %s', (...one) => expectProblem(one));
  it.each(references)('config - references: %s', (...one) => expectProblem(one));
  it.each(settings)('config - settings of a driver: %s', (...one) => expectProblem(one));
  it.each(yaml)('config - YAML: %s', (...one) => expectProblem(one));
});
