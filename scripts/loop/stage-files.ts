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
}

function hostEntry(host: StageHost, { subnet, kernel, initrd, append, folder }: StageFiles): string {
  return `
  ${host.name}:
    volume: ${host.name}
    interfaces:
      - { name: eth0, mac: "${host.mac}", addresses: [${subnet}.${host.number}/24], gateway: ${subnet}.1 }
    link: br0
    agentTokenFile: secrets/${host.name}
    power:
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

/** Windows are short, so that a demo takes minutes; on real hosts they are minutes themselves. */
export function configurationOf(files: StageFiles & { readonly apiPort: number }): string {
  const { folder, subnet, apiPort, hosts, mode, objectiveMs } = files;
  const [lead, ...pool] = hosts.map(({ name }) => name);
  return `state: state
api: { host: ${subnet}.1, port: ${apiPort}, tokensFile: secrets/tokens }
volumes:
${hosts.map(({ name }) => `  ${name}: { path: ${folder}/${name}.img }`).join('\n')}
hosts:${hosts.map((host) => hostEntry(host, files)).join('')}
services:
  wiki:
    lead: ${lead}
    pool: [${pool.join(', ')}]
    mode: ${mode}
    traffic: reads
    director:
      driver: haproxy
      settings: { socket: ${folder}/haproxy.sock, backend: wiki, readsBackend: wiki-reads }
    port: 80
    check: { path: /whoami.php, contains: machineId, timeout: 10s }
    objective: { signal: probe.milliseconds, below: ${objectiveMs}, fast: 5s, slow: 15s }
    scaleIn: { window: 15s, headroom: 0.8, cooldown: 15s }
    timeouts: { boot: 3m, drain: 15s, call: 60s }
`;
}

export function haproxyConfiguration({
  folder,
  subnet,
  hosts,
}: Pick<StageFiles, 'folder' | 'subnet' | 'hosts'>): string {
  const lead = hosts[0];
  const server = `server ${lead?.name} ${subnet}.${lead?.number}:80 check inter 2s rise 1 fall 5`;
  return `global
    stats socket ${folder}/haproxy.sock mode 600 level admin
    hard-stop-after 10s
defaults
    mode http
    timeout connect 5s
    timeout check 20s
    timeout queue 60s
    timeout client 120s
    timeout server 120s
    option redispatch
frontend www
    bind ${subnet}.1:80
    acl read method GET HEAD
    acl readers nbsrv(wiki-reads) gt 0
    use_backend wiki-reads if read readers
    default_backend wiki
backend wiki
    balance leastconn
    ${server}
backend wiki-reads
    balance leastconn
    http-request deny deny_status 503 unless { method GET HEAD }
    ${server}
`;
}
