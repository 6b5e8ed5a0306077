// Databases that know each other by identifiers: MySQL and MariaDB, PostgreSQL, Redis, MongoDB, and search engines.
import { clueRule } from '../clue.ts';
import { derive } from '../derive.ts';

const MY_CNF = ['/etc/my.cnf', '/etc/my.cnf.d/*.cnf', '/etc/mysql/*.cnf', '/etc/mysql/*/*.cnf'];
const MY_DATA = '/var/lib/{mysql,mariadb}';

/** Replication numbers servers from 1 to 2^32 - 1. */
function serverId(value: string, understudy: Parameters<typeof derive>[1]): string {
  return String((derive(value, understudy, 4).readUInt32BE() % 0xffff_fffe) + 1);
}

const REPLICA = {
  secret: true,
  why: 'It takes changes from its source with the account and the position of the lead; started twice, it may break the replication.',
  becomes: { action: 'unknown' },
} as const;

export const mysqlRule = clueRule('mysql', [
  {
    at: [`${MY_DATA}/auto.cnf`],
    lines: /^\s*server[-_]uuid\s*=\s*(\S+)/,
    why: 'Replication knows servers by their UUID, and refuses a second one; the server makes a new one when there is none.',
    becomes: { action: 'regenerate', by: 'removal' },
  },
  {
    at: MY_CNF,
    lines: /^\s*server[-_]id\s*=\s*(\d+)/,
    why: 'Replication knows servers by this number, and takes two of one number for the same.',
    becomes: { action: 'rewrite', to: (value, { understudy }) => serverId(value, understudy) },
  },
  {
    at: [`${MY_DATA}/{master,relay-log}.info`, `${MY_DATA}/{master,relay-log}-*.info`],
    value: 'a replica of another server',
    ...REPLICA,
  },
  // Names of connections to sources, one a line. Every MariaDB that has once run has the file, mostly without a line.
  { at: [`${MY_DATA}/multi-master.info`], lines: /^(\S.*)$/, ...REPLICA },
  {
    at: MY_CNF,
    lines: /^\s*(wsrep[-_]cluster[-_]address\s*=\s*\S+|group[-_]replication[-_]group[-_]name\s*=\s*\S+)/,
    why: 'It is a member of a cluster that knows its members; the clone is none.',
    becomes: { action: 'unknown' },
  },
  {
    at: [`${MY_DATA}/{grastate,gvwstate}.dat`],
    lines: /^\s*uuid:\s*(\S+)/,
    why: 'It is the place of the lead in a cluster.',
    becomes: { action: 'unknown' },
  },
]);

const PG_CONF = ['/etc/postgresql/*/*/*.conf', '/var/lib/{postgresql,pgsql}/**/postgresql{,.auto}.conf'];
const PG_DATA = '/var/lib/{postgresql,pgsql}/**';

export const postgresqlRule = clueRule('postgresql', [
  {
    at: [`${PG_DATA}/global/pg_control`],
    value: 'a system identifier',
    why: 'Only replication and archives of the log know a server by it; it stays as long as there are none, and stops a clone where there are.',
    becomes: { action: 'keep' },
  },
  {
    at: [`${PG_DATA}/{standby,recovery}.signal`, `${PG_DATA}/recovery.conf`],
    value: 'a standby of another server',
    why: 'It takes changes from its primary by the slot and the account of the lead.',
    becomes: { action: 'unknown' },
  },
  {
    at: [`${PG_DATA}/pg_replslot/*/state`],
    value: 'a replication slot',
    why: 'A reader follows the changes of the lead by it. A clone has no such reader, and keeps the log until the disk is full.',
    becomes: { action: 'unknown' },
  },
  {
    at: PG_CONF,
    lines: /^\s*(archive_(?:command|library)\s*=?\s*'[^']+)/,
    secret: true,
    why: 'Two servers would put different logs of the same names into one archive, and make it worthless.',
    becomes: { action: 'unknown' },
  },
]);

const REDIS = ['/etc/{redis,valkey}/*.conf', '/etc/{redis,valkey}.conf'];

export const redisRule = clueRule('redis', [
  {
    at: ['/var/lib/{redis,valkey}/**/nodes*.conf'],
    lines: /^([0-9a-f]{40}) \S+ \S*myself/,
    why: 'A cluster knows its nodes by this; two of one are one that changes its address all the time.',
    becomes: { action: 'unknown' },
  },
  {
    at: REDIS,
    lines: /^\s*((?:replicaof|slaveof)\s+\S+\s+\S+)/i,
    why: 'It takes the changes of another server. A second one that does the same does no harm.',
    becomes: { action: 'keep' },
  },
  {
    at: ['/etc/{redis,valkey}/sentinel.conf', '/etc/{redis,valkey}-sentinel.conf'],
    lines: /^\s*(sentinel\s+myid\s+\S+)/,
    why: 'Sentinels vote. Two of one identifier have one vote, and the majority may be wrong.',
    becomes: { action: 'unknown' },
  },
]);

export const mongodbRule = clueRule('mongodb', [
  {
    at: ['/etc/mongod.conf', '/etc/mongodb.conf'],
    lines: /^\s*((?:replSetName|clusterRole):\s*\S+|replSet\s*=\s*\S+)/,
    why: 'It is a member of a replica set or cluster that knows its members by name; the clone is none.',
    becomes: { action: 'unknown' },
  },
]);

export const searchEnginesRule = clueRule('search-engines', [
  {
    at: ['/etc/{elasticsearch,opensearch}/{elasticsearch,opensearch}.yml'],
    lines:
      /^\s*((?:discovery\.(?:seed_hosts|seed_providers|zen\.ping\.unicast\.hosts)|cluster\.initial_master_nodes)\s*:.*)/,
    why: 'It joins a cluster of others, in which its data and its identifier are already those of the lead.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/var/lib/{elasticsearch,opensearch}/**/_state/{node-*.st,segments_*}'],
    value: 'a node identifier',
    why: 'It lies within the data of the node. Alone it does no harm; in one cluster two of one are refused.',
    becomes: { action: 'keep' },
    confidence: 'likely',
  },
]);
