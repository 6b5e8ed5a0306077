// Further members of clusters and stores that know their members by an identifier: what each leaves on its disk.
// Paths are those of the programs' own packages and manuals.
import type { Clue } from '../clue.ts';

const MEMBER =
  'It is a member of a cluster that knows its members by this; the clone would be the same member a second time.';
const VOTE = 'It votes. Two servers with one vote can agree on two things.';
/** Where people put data. What lies elsewhere is found by its name (identity-signs.ts), in one walk for all. */
const DATA = '/{var/lib,opt,srv,data,mnt}';

function member(value: string, at: readonly string[], why = MEMBER): Clue {
  return { at, value, secret: true, why, becomes: { action: 'unknown' } };
}

export const clusterMembers: readonly Clue[] = [
  member(
    'a node of a swarm (Docker)',
    ['/var/lib/docker/swarm/{docker-state.json,state.json}', '/var/lib/docker/swarm/certificates/swarm-node.key'],
    'The clone would be the same node a second time, run the same tasks, and vote if the node does.',
  ),
  member('a peer (GlusterFS)', ['/var/lib/glusterd/glusterd.info']),
  member('a node (Cassandra, ScyllaDB)', [`${DATA}/{cassandra,scylla}*/{,data/}{,data/}system/local-*/*-Data.db`]),
  member('a broker (Kafka)', [
    `${DATA}/*kafka*/{,*/,*/*/}meta.properties`,
    '/tmp/{kafka-logs,kraft-combined-logs}/meta.properties',
  ]),
  member('a member (ZooKeeper)', [`${DATA}/{zookeeper,zk,zkdata}*/{,*/}myid`]),
  member('a drive of a server (MinIO)', [
    `${DATA}/{,*/,*/*/}.minio.sys/format.json`,
    '/minio/{,*/}.minio.sys/format.json',
  ]),
  member('a member (LXD, Incus)', [
    '/var/lib/{lxd,incus}/database/local.db',
    '/var/snap/lxd/common/lxd/database/local.db',
    '/var/lib/{lxd,incus}/{server,cluster}.key',
    '/var/snap/lxd/common/lxd/{server,cluster}.key',
  ]),
  member('a node (Proxmox VE)', ['/var/lib/pve-cluster/config.db']),
  member('a resource that is mirrored (DRBD)', ['/etc/drbd.d/*.res', '/etc/drbd.conf.d/*.res']),
  member('a server (Vault, OpenBao)', [`${DATA}/{vault,openbao}/{,data/}{raft/raft.db,vault.db,node-id}`], VOTE),
  member('a node (CockroachDB)', [`${DATA}/cockroach*/{,*/}STORAGE_MIN_VERSION`], VOTE),
  member('a server (ClickHouse)', ['/var/lib/clickhouse/uuid', '/var/lib/clickhouse/coordination/state']),
  member(
    'a member (Patroni)',
    ['/etc/patroni/*.{yml,yaml}', '/etc/patroni.yml'],
    'It competes to be the primary of its cluster, under the name of the lead.',
  ),
  member('a node (Pacemaker)', ['/var/lib/pacemaker/cib/cib.xml']),
  member('a server (rqlite, Dqlite)', [`${DATA}/{rqlite,dqlite}*/{raft.db,info.yaml,cluster.yaml}`], VOTE),
];
