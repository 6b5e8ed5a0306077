// Members of clusters: message brokers, and what agrees by votes. A clone of a member is none, and may do harm as one.
import { clueRule } from '../clue.ts';
import { deriveUuid } from '../derive.ts';
import { clusterMembers } from './cluster-members.ts';

export const rabbitmqRule = clueRule('rabbitmq', [
  {
    at: ['/var/lib/rabbitmq/mnesia/{rabbit@*,*}/{node-type.txt,cluster_nodes.config,schema.DAT}'],
    value: 'data of a node',
    why: 'The node is called by the name of the host, and so are its data: under another name it begins with none, under the old one it is the lead.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/rabbitmq/rabbitmq-env.conf'],
    lines: /^\s*((?:RABBITMQ_)?NODENAME\s*=\s*\S+)/,
    why: 'Two nodes of one name cannot be in one cluster.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/var/lib/rabbitmq/.erlang.cookie', '/root/.erlang.cookie', '/var/lib/{couchdb,ejabberd}/.erlang.cookie'],
    secret: true,
    why: 'All nodes of a cluster have the same; alone it does no harm.',
    becomes: { action: 'keep' },
  },
  {
    at: ['/etc/ejabberd/ejabberdctl.cfg', '/opt/couchdb/etc/vm.args', '/etc/couchdb/vm.args'],
    lines: /^\s*((?:ERLANG_NODE\s*=|-s?name)\s*\S+@\S+)/,
    why: 'Two Erlang nodes of one name cannot be in one cluster.',
    becomes: { action: 'unknown' },
  },
]);

export const clustersRule = clueRule('clusters', [
  {
    at: ['/{var/lib,opt}/consul/**/node-id'],
    lines: /^([0-9a-fA-F-]{36})\s*$/,
    why: 'Consul knows agents by it, and refuses a second one.',
    becomes: { action: 'rewrite', to: (value, { understudy }) => deriveUuid(value, understudy) },
  },
  {
    at: ['/{var/lib,opt}/consul/**/raft/raft.db'],
    value: 'a server with a vote (Consul)',
    why: 'It votes. Two servers with one vote can agree on two things.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/{var/lib,opt}/nomad/**/{client-id,raft.db,node-id}'],
    value: 'a member (Nomad)',
    why: 'It is a member of a cluster that knows its members; the clone is none.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/var/lib/etcd/**/member/snap/db', '/var/lib/etcd/member/snap/db'],
    value: 'a member (etcd)',
    why: 'It votes. Two servers with one vote can agree on two things.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/corosync/corosync.conf'],
    value: 'a member (corosync)',
    secret: true,
    why: 'It is a member of a cluster that may fence its members; the clone is none.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/kubernetes/kubelet.conf', '/var/lib/rancher/{k3s,rke2}/agent/kubelet.kubeconfig'],
    value: 'a node (Kubernetes)',
    secret: true,
    why: 'The clone would be the same node a second time, and run the same pods.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/zookeeper/conf/myid'],
    value: 'a member (ZooKeeper)',
    why: 'Members have numbers; two of one number are one that changes its mind.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/{ceph}/ceph.conf', '/var/lib/ceph/{osd,mon,mds,mgr}/*/keyring'],
    value: 'a member (Ceph)',
    secret: true,
    why: 'A daemon of a storage cluster is there once.',
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/keepalived/keepalived.conf', '/etc/keepalived/conf.d/*.conf'],
    lines: /^\s*(vrrp_instance\s+\S+)/,
    why: 'The clone would take the shared address from the lead, or keep it from who is next (VRRP, RFC 9568).',
    becomes: { action: 'disable', units: () => ['keepalived.service'] },
  },
  {
    at: ['/etc/ucarp/*.conf', '/etc/ha.d/haresources', '/etc/default/{vrrpd,ucarp}'],
    value: 'a shared address',
    why: 'The clone would take the shared address from the lead.',
    becomes: { action: 'unknown' },
  },
  ...clusterMembers,
]);
