// The files of the stage: understudy.yaml and haproxy.cfg, as an administrator would write them.

export interface StageHost {
  readonly name: string;
  /** The last part of its address. */
  readonly number: number;
  readonly mac: string;
  /** Copied to be its volume. */
  readonly image: string;
  /** Of its agent. */
  readonly token: string;
  /** Where it is switched, over IPMI. Absent: it is a virtual machine of ours. */
  readonly bmc?: StageBmc;
}

interface StageBmc {
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly passwordFile: string;
}

export interface StageFiles {
  readonly folder: string;
  readonly subnet: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly append: string;
  readonly hosts: readonly StageHost[];
  readonly mode: 'advise' | 'approve' | 'automatic';
  readonly objectiveMs: number;
  /** How copies become hosts of their own, in YAML. */
  readonly identity?: string;
  /** Settings of the storage node, in YAML. @default gateways with TLS */
  readonly storage?: string;
  /** Time-outs of the services, in YAML. */
  readonly timeouts?: string;
  /** What of the lead is copied, in YAML. @default everything */
  readonly portion?: string;
  /** How a host is asked whether it answers, in YAML. */
  readonly check?: string;
  /** @default one, of the first host, whose understudies the others may be */
  readonly services?: readonly StageService[];
}

export interface StageService {
  readonly name: string;
  readonly lead: string;
  readonly pool: readonly string[];
  /** At which HAProxy has it. */
  readonly port: number;
}

const TIMEOUTS = '{ boot: 3m, drain: 15s, call: 60s }';
const CHECK = '{ path: /whoami.php, contains: machineId, timeout: 10s }';

function servicesOf({ services, hosts }: Pick<StageFiles, 'services' | 'hosts'>): readonly StageService[] {
  const [lead = '', ...pool] = hosts.map(({ name }) => name);
  return services ?? [{ name: 'wiki', lead, pool, port: 80 }];
}

function powerEntry(host: StageHost, { kernel, initrd, append, folder }: StageFiles): string {
  if (host.bmc !== undefined) {
    const { address, port, user, passwordFile } = host.bmc;
    return `{ driver: ipmi, settings: { address: ${address}, port: ${port}, user: ${user}, passwordFile: ${passwordFile} } }`;
  }
  return `
      driver: qemu
      settings:
        memoryMiB: 384
        cpus: 1
        kernel: ${kernel}
        initrd: ${initrd}
        append: "${append}"
        interfaces: [{ tap: tap-${host.name}, mac: "${host.mac}" }]
        serialLog: ${folder}/${host.name}.serial`;
}

function hostEntry(host: StageHost, files: StageFiles): string {
  const { subnet } = files;
  return `
  ${host.name}:
    volume: ${host.name}
    interfaces:
      - { name: eth0, mac: "${host.mac}", addresses: [${subnet}.${host.number}/24], gateway: ${subnet}.1 }
    link: br0
    agentTokenFile: secrets/${host.name}
    power: ${powerEntry(host, files)}`;
}

/** What the machine of the stage is called in its certificate. */
export const STAGE_NODE = 'stage';

/** Windows are short, so that a demo takes minutes; on real hosts they are minutes themselves. */
function serviceEntry({ name, lead, pool }: StageService, files: StageFiles): string {
  const { folder, mode, objectiveMs, timeouts = TIMEOUTS, check = CHECK, portion = 'null' } = files;
  return `
  ${name}:
    lead: ${lead}
    pool: [${pool.join(', ')}]
    mode: ${mode}
    traffic: reads
    director:
      driver: haproxy
      settings: { socket: ${folder}/haproxy.sock, backend: ${name}, readsBackend: ${name}-reads }
    port: 80
    check: ${check}
    portion: ${portion}
    objective: { signal: probe.milliseconds, below: ${objectiveMs}, fast: 5s, slow: 15s }
    scaleIn: { window: 15s, headroom: 0.8, cooldown: 15s }
    timeouts: ${timeouts}`;
}

export const FIRST_GATEWAY_PORT = 10_810;

/** Where hosts come to for their volumes, over TLS, each to a port of its own. */
export function gatewaysOf(subnet: string): string {
  return `${subnet}.1:${FIRST_GATEWAY_PORT}-${FIRST_GATEWAY_PORT + 31}`;
}

export function configurationOf(files: StageFiles & { readonly apiPort: number }): string {
  const { folder, subnet, apiPort, hosts, storage = `{ listen: "${gatewaysOf(subnet)}" }`, identity = '{}' } = files;
  return `state: state
tls: { folder: pki, name: ${STAGE_NODE} }
api: { host: ${subnet}.1, port: ${apiPort}, tokensFile: secrets/tokens }
storage: ${storage}
identity: ${identity}
volumes:
${hosts.map(({ name }) => `  ${name}: { path: ${folder}/${name}.img }`).join('\n')}
hosts:${hosts.map((host) => hostEntry(host, files)).join('')}
services:${servicesOf(files)
    .map((service) => serviceEntry(service, files))
    .join('')}
`;
}

type ProxyFiles = Pick<StageFiles, 'folder' | 'subnet' | 'hosts' | 'services'>;

function proxyEntry({ name, lead, port }: StageService, { subnet, hosts }: ProxyFiles): string {
  const number = hosts.find((host) => host.name === lead)?.number;
  const server = `server ${lead} ${subnet}.${number}:80 check inter 2s rise 1 fall 5`;
  return `frontend www-${name}
    bind ${subnet}.1:${port}
    acl read method GET HEAD
    acl readers nbsrv(${name}-reads) gt 0
    use_backend ${name}-reads if read readers
    default_backend ${name}
backend ${name}
    balance leastconn
    ${server}
backend ${name}-reads
    balance leastconn
    http-request deny deny_status 503 unless { method GET HEAD }
    ${server}
`;
}

export function haproxyConfiguration(files: ProxyFiles): string {
  return `global
    stats socket ${files.folder}/haproxy.sock mode 600 level admin
    hard-stop-after 10s
defaults
    mode http
    timeout connect 5s
    timeout check 20s
    timeout queue 60s
    timeout client 120s
    timeout server 120s
    option redispatch
${servicesOf(files)
  .map((service) => proxyEntry(service, files))
  .join('')}`;
}
