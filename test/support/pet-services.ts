// What services and systems leave on the disk of a host: by rule, the files as those programs write them, what is to be
// found, and what is to be left. Used against each rule by itself, and all together in a real file system.
import { programCases } from './pet-programs.ts';
import { type ServiceCase, starts, UNIT, wants } from './pet-units.ts';

export type { ServiceCase };

const FSTAB =
  '# /dev/sda9 was here\nUUID=3c5f6a52-7a0e-4f0c-8a53-0f5d7f1c9b11 / ext4 defaults 0 1\nnas:/export/pages /srv/pages nfs4 rw,hard 0 0\n' +
  'nas:/export/fonts /srv/fonts nfs ro,nosuid 0 0\n/dev/sdb1 /srv/scratch xfs defaults 0 2\n' +
  '/dev/disk/by-id/scsi-36001405-part1 /srv/data ext4 _netdev 0 2\n';

const ownCases: Readonly<Record<string, ServiceCase>> = {
  'nic-names': {
    files: {
      '/etc/udev/rules.d/70-persistent-net.rules':
        '# PCI device 0x8086 (e1000)\nSUBSYSTEM=="net", ACTION=="add", ATTR{address}=="52:54:00:00:00:11", NAME="eth0"\n',
      '/etc/udev/rules.d/60-disk.rules': 'KERNEL=="sd*", MODE="0660"\n',
    },
    finds: [['/etc/udev/rules.d/70-persistent-net.rules', 'rewrite']],
    after: {
      '/etc/udev/rules.d/70-persistent-net.rules':
        '# PCI device 0x8086 (e1000)\nSUBSYSTEM=="net", ACTION=="add", ATTR{address}=="52:54:00:00:00:12", NAME="eth0"\n',
    },
  },
  dhcp: {
    files: {
      '/var/lib/dhcp/dhclient.eth1.leases': 'lease {\n  interface "eth1";\n  fixed-address 192.168.7.9;\n}\n',
      // A server's, which is its data.
      '/var/lib/dhcp/dhcpd.leases': 'lease 192.168.7.9 {\n  hardware ethernet 52:54:00:00:00:99;\n}\n',
      '/var/lib/misc/dnsmasq.leases': '1700000000 52:54:00:00:00:99 192.168.7.9 printer *\n',
      '/var/lib/NetworkManager/internal-7a-eth1.lease': 'ADDRESS=192.168.7.9\n',
      '/var/lib/NetworkManager/secret_key': 'nm-v2:\u0001\u0002secret-key-of-nm',
      '/var/lib/NetworkManager/NetworkManager.state': '[main]\nNetworkingEnabled=true\n',
      '/etc/dhcpcd.duid': '00:01:00:01:2a:3b:4c:5d:52:54:00:00:00:77\n',
      '/etc/systemd/networkd.conf': '[DHCPv6]\nDUIDType=vendor\nDUIDRawData=00:00:ab:11:f9:2a\n',
    },
    finds: [
      ['/var/lib/dhcp/dhclient.eth1.leases', 'regenerate'],
      ['/var/lib/NetworkManager/internal-7a-eth1.lease', 'regenerate'],
      ['/etc/dhcpcd.duid', 'regenerate'],
      ['/var/lib/NetworkManager/secret_key', 'regenerate'],
      ['/etc/systemd/networkd.conf', 'unknown'],
    ],
    after: {
      '/var/lib/dhcp/dhclient.eth1.leases': null,
      '/var/lib/NetworkManager/internal-7a-eth1.lease': null,
      '/etc/dhcpcd.duid': null,
      '/var/lib/NetworkManager/secret_key': null,
    },
    secrets: ['secret-key-of-nm', '52:54:00:00:00:77'],
  },
  'random-seed': {
    files: { '/var/lib/systemd/random-seed': Buffer.from(`${'\xff\x00'.repeat(20)}seed`, 'latin1') },
    finds: [['/var/lib/systemd/random-seed', 'regenerate']],
    after: { '/var/lib/systemd/random-seed': null },
  },
  'cloud-init': {
    files: {
      '/etc/cloud/cloud.cfg': 'preserve_hostname: false\n',
      '/var/lib/cloud/data/instance-id': 'i-0123456789\n',
    },
    finds: [['/var/lib/cloud/data/instance-id', 'disable']],
    after: { '/etc/cloud/cloud-init.disabled': 'Disabled by understudy: this host is a clone.\n' },
  },
  'storage-initiator': {
    files: {
      '/etc/iscsi/initiatorname.iscsi': '## do not change\nInitiatorName=iqn.1993-08.org.debian:01:9f2c1a77d0\n',
      '/etc/nvme/hostnqn': 'nqn.2014-08.org.nvmexpress:uuid:2cd2c43b-a90a-45c1-a8cd-86b33ab273b5\n',
      '/etc/nvme/hostid': '2cd2c43b-a90a-45c1-a8cd-86b33ab273b5\n',
      '/etc/iscsi/nodes/iqn.2003-01.org.linux-iscsi:disks/10.0.9.5,3260,1/default':
        'node.name = iqn.2003-01.org.linux-iscsi:disks\nnode.startup = automatic\n',
    },
    finds: [
      ['/etc/iscsi/initiatorname.iscsi', 'rewrite'],
      ['/etc/nvme/hostnqn', 'rewrite'],
      ['/etc/nvme/hostid', 'rewrite'],
      ['/etc/iscsi/nodes/iqn.2003-01.org.linux-iscsi:disks/10.0.9.5,3260,1/default', 'unknown'],
    ],
    derives: true,
  },
  'file-systems': {
    files: {
      '/etc/fstab': FSTAB,
      '/etc/default/grub': 'GRUB_CMDLINE_LINUX="ip=10.0.9.1::10.0.9.254:255.255.255.0::eth1:off root=/dev/sda1"\n',
    },
    finds: [
      ['/etc/fstab', 'unknown'],
      ['/etc/fstab', 'keep'],
      ['/etc/fstab', 'unknown'],
      ['/etc/fstab', 'unknown'],
      ['/etc/default/grub', 'unknown'],
      ['/etc/fstab', 'keep'],
      ['/etc/fstab', 'unknown'],
    ],
  },
  'disk-names': {
    files: {
      '/etc/fstab': FSTAB,
      '/etc/crypttab': 'swap /dev/vdb2 /dev/urandom swap\n',
      '/etc/default/grub': 'GRUB_CMDLINE_LINUX="ip=10.0.9.1::10.0.9.254:255.255.255.0::eth1:off root=/dev/sda1"\n',
    },
    finds: [
      ['/etc/crypttab', 'keep'],
      ['/etc/default/grub', 'keep'],
    ],
  },
  cron: {
    files: {
      '/etc/crontab':
        'SHELL=/bin/sh\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n5 4 * * * root /usr/local/bin/report --password=hidden-word\n',
      '/etc/cron.d/invoices':
        '# at night\nMAILTO=root\n*/5 * * * * www-data TOKEN=hidden-word /usr/bin/php /srv/send.php\n',
      '/etc/cron.d/e2scrub_all': '30 3 * * 0 root test -e /run/systemd/system || /sbin/e2scrub_all\n',
      '/etc/cron.d/invoices.dpkg-old': '* * * * * root /bin/never\n',
      '/var/spool/cron/crontabs/anna': '@daily /home/anna/bin/backup\n',
      '/etc/crontabs/root': '0 2 * * * /usr/local/bin/sync-stock\n',
      '/etc/cron.daily/rotate-shop': { link: '/opt/shop/bin/rotate' },
      '/opt/shop/bin/rotate': { text: '#!/bin/sh\n', mode: 0o755 },
      '/etc/cron.weekly/stock': { text: '#!/bin/sh\n', mode: 0o755 },
      '/etc/cron.d/stock': { link: '/opt/shop/etc/stock.cron' },
      '/opt/shop/etc/stock.cron': '0 2 * * * root /opt/shop/bin/stock\n',
    },
    finds: [
      ['/etc/crontab', 'disable'],
      ['/etc/cron.d/e2scrub_all', 'keep'],
      ['/etc/cron.d/invoices', 'disable'],
      ['/etc/cron.d/stock', 'disable'],
      ['/var/spool/cron/crontabs/anna', 'disable'],
      ['/etc/crontabs/root', 'disable'],
      ['/etc/cron.daily/rotate-shop', 'disable'],
      ['/etc/cron.weekly/stock', 'disable'],
    ],
    after: {
      '/etc/crontab':
        'SHELL=/bin/sh\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n# understudy: 5 4 * * * root /usr/local/bin/report --password=hidden-word\n',
      '/etc/cron.d/invoices':
        '# at night\nMAILTO=root\n# understudy: */5 * * * * www-data TOKEN=hidden-word /usr/bin/php /srv/send.php\n',
      '/var/spool/cron/crontabs/anna': '# understudy: @daily /home/anna/bin/backup\n',
      '/etc/crontabs/root': '# understudy: 0 2 * * * /usr/local/bin/sync-stock\n',
      '/etc/cron.d/stock': null,
      '/etc/cron.daily/rotate-shop': null,
      '/etc/cron.weekly/stock': '#!/bin/sh\n',
    },
  },
  'at-jobs': {
    files: { '/var/spool/cron/atjobs/a0000201b8d3c0': '#!/bin/sh\n/usr/local/bin/pay hidden-word\n' },
    finds: [['/var/spool/cron/atjobs', 'disable']],
    after: { '/var/spool/cron/atjobs/a0000201b8d3c0': null },
    secrets: ['hidden-word'],
  },
  timers: {
    files: {
      '/etc/systemd/system/invoices.timer': '[Timer]\nOnCalendar=daily\n',
      [wants('timers', 'invoices.timer')]: { link: '/etc/systemd/system/invoices.timer' },
      ...starts('logrotate.timer', 'timers'),
      ...starts('certbot.timer', 'timers'),
      '/usr/lib/systemd/system/idle.timer': '[Timer]\nOnCalendar=daily\n',
    },
    finds: [
      ['/etc/systemd/system/invoices.timer', 'disable'],
      [wants('timers', 'certbot.timer'), 'disable'],
    ],
    after: { [wants('timers', 'invoices.timer')]: null, [wants('timers', 'certbot.timer')]: null },
  },
  'mail-queues': {
    files: {
      '/var/spool/postfix/deferred/4/4XkQvT1zqkz2': Buffer.from('C\x00\x01dear customer hidden-word', 'latin1'),
      '/var/spool/postfix/maildrop/1F2E3D': 'T1700000000\nhidden-word\n',
      '/var/spool/postfix/pid/master.pid': '611\n',
      '/var/spool/exim4/input/1rAbCd-000123-Xy-H': '1rAbCd-000123-Xy-H\nroot 0 0\n',
    },
    finds: [
      ['/var/spool/postfix/deferred', 'disable'],
      ['/var/spool/postfix/maildrop', 'disable'],
      ['/var/spool/exim4/input', 'disable'],
    ],
    after: {
      '/var/spool/postfix/deferred/4/4XkQvT1zqkz2': null,
      '/var/spool/postfix/maildrop/1F2E3D': null,
      '/var/spool/exim4/input/1rAbCd-000123-Xy-H': null,
    },
    secrets: ['hidden-word'],
  },
  mysql: {
    files: {
      '/var/lib/mysql/auto.cnf': '[auto]\nserver-uuid=8f1d2c3b-0000-11ee-9d2f-525400000011\n',
      '/etc/mysql/mariadb.conf.d/50-server.cnf':
        '[mysqld]\n#server-id = 9\nserver-id              = 1\nlog_bin = /var/log/mysql/bin\n',
      '/var/lib/mysql/master.info': '33\nbin.000007\n4\ndb1\nreplicator\nhidden-word\n3306\n',
      // As every server writes it that is a replica of none.
      '/var/lib/mysql/multi-master.info': '',
      '/etc/mysql/mariadb.conf.d/60-galera.cnf': '[galera]\n#wsrep_cluster_address = gcomm://\nwsrep_on = OFF\n',
    },
    finds: [
      ['/var/lib/mysql/auto.cnf', 'regenerate'],
      ['/etc/mysql/mariadb.conf.d/50-server.cnf', 'rewrite'],
      ['/var/lib/mysql/master.info', 'unknown'],
    ],
    secrets: ['hidden-word'],
    derives: true,
  },
  postgresql: {
    files: {
      '/var/lib/postgresql/15/main/global/pg_control': Buffer.alloc(8192, 7),
      '/var/lib/postgresql/15/main/standby.signal': '',
      '/var/lib/postgresql/15/main/pg_replslot/web2/state': Buffer.alloc(200, 1),
      '/etc/postgresql/15/main/postgresql.conf': "archive_mode = on\narchive_command = 'backup --key hidden-word %p'\n",
    },
    finds: [
      ['/var/lib/postgresql/15/main/global/pg_control', 'keep'],
      ['/var/lib/postgresql/15/main/standby.signal', 'unknown'],
      ['/var/lib/postgresql/15/main/pg_replslot/web2/state', 'unknown'],
      ['/etc/postgresql/15/main/postgresql.conf', 'unknown'],
    ],
    secrets: ['hidden-word'],
  },
  redis: {
    files: {
      '/etc/redis/redis.conf': '# replicaof <masterip> <masterport>\nreplicaof db2 6379\nmasterauth hidden-word\n',
      '/var/lib/redis/nodes.conf': `${'ab'.repeat(20)} 10.0.9.1:6379@16379 myself,master - 0 0 1 connected 0-16383\n`,
    },
    finds: [
      ['/var/lib/redis/nodes.conf', 'unknown'],
      ['/etc/redis/redis.conf', 'keep'],
    ],
    secrets: ['hidden-word'],
  },
  mongodb: {
    files: { '/etc/mongod.conf': 'storage:\n  dbPath: /var/lib/mongodb\nreplication:\n  replSetName: rs0\n' },
    finds: [['/etc/mongod.conf', 'unknown']],
  },
  'search-engines': {
    files: {
      '/etc/elasticsearch/elasticsearch.yml': 'cluster.name: logs\ndiscovery.seed_hosts: ["es1", "es2"]\n',
      '/var/lib/elasticsearch/nodes/0/_state/node-3.st': Buffer.alloc(40, 3),
    },
    finds: [
      ['/etc/elasticsearch/elasticsearch.yml', 'unknown'],
      ['/var/lib/elasticsearch/nodes/0/_state/node-3.st', 'keep'],
    ],
  },
  rabbitmq: {
    files: {
      '/var/lib/rabbitmq/.erlang.cookie': 'HIDDENCOOKIE',
      '/var/lib/rabbitmq/mnesia/rabbit@web1/node-type.txt': 'disc\n',
      '/etc/rabbitmq/rabbitmq-env.conf': '#NODENAME=x\nNODENAME=rabbit@web1\n',
    },
    finds: [
      ['/var/lib/rabbitmq/mnesia/rabbit@web1/node-type.txt', 'unknown'],
      ['/etc/rabbitmq/rabbitmq-env.conf', 'unknown'],
      ['/var/lib/rabbitmq/.erlang.cookie', 'keep'],
    ],
    secrets: ['HIDDENCOOKIE'],
  },
  clusters: {
    files: {
      '/opt/consul/node-id': '2cd2c43b-a90a-45c1-a8cd-86b33ab273b5',
      '/opt/consul/raft/raft.db': Buffer.alloc(64),
      '/var/lib/etcd/default/member/snap/db': Buffer.alloc(64),
      '/etc/corosync/corosync.conf': 'totem {\n  cluster_name: c\n}\n',
      '/etc/keepalived/keepalived.conf': 'vrrp_instance VI_1 {\n  virtual_router_id 51\n  auth_pass hidden-word\n}\n',
      ...starts('keepalived.service'),
      '/etc/ucarp/vip-1.conf': 'PASSWORD=hidden-word\n',
      '/var/lib/zookeeper/myid': '2\n',
      '/var/lib/docker/swarm/docker-state.json': '{}',
      '/var/lib/glusterd/glusterd.info': 'UUID=2cd2c43b-a90a-45c1-a8cd-86b33ab273b5\n',
      '/srv/kafka/logs/meta.properties': 'node.id=2\n',
      '/data/.minio.sys/format.json': '{"id": "hidden-word"}',
      '/etc/kubernetes/kubelet.conf': 'client-key-data: hidden-word\n',
    },
    finds: [
      ['/opt/consul/node-id', 'rewrite'],
      ['/opt/consul/raft/raft.db', 'unknown'],
      ['/var/lib/etcd/default/member/snap/db', 'unknown'],
      ['/etc/corosync/corosync.conf', 'unknown'],
      ['/etc/kubernetes/kubelet.conf', 'unknown'],
      ['/etc/keepalived/keepalived.conf', 'disable'],
      ['/etc/ucarp/vip-1.conf', 'unknown'],
      ['/var/lib/docker/swarm/docker-state.json', 'unknown'],
      ['/var/lib/glusterd/glusterd.info', 'unknown'],
      ['/srv/kafka/logs/meta.properties', 'unknown'],
      ['/var/lib/zookeeper/myid', 'unknown'],
      ['/data/.minio.sys/format.json', 'unknown'],
    ],
    derives: true,
    secrets: ['hidden-word'],
  },
  membership: {
    files: {
      '/etc/krb5.keytab': Buffer.from('\x05\x02hidden-word', 'latin1'),
      '/etc/sssd/sssd.conf': '[domain/example.org]\nid_provider = ad\nldap_default_authtok = hidden-word\n',
      '/var/lib/samba/private/secrets.tdb': Buffer.from('TDB file\n\0hidden-word', 'latin1'),
    },
    finds: [
      ['/etc/krb5.keytab', 'unknown'],
      ['/etc/sssd/sssd.conf', 'unknown'],
      ['/var/lib/samba/private/secrets.tdb', 'unknown'],
    ],
    secrets: ['hidden-word'],
  },
  vpn: {
    files: {
      '/etc/wireguard/wg0.conf':
        '[Interface]\nPrivateKey = HIDDENKEYHIDDENKEYHIDDENKEYHIDDENKEYHIDDENK=\nAddress = 10.99.0.2/32\n',
      '/usr/lib/systemd/system/wg-quick@.service': UNIT,
      [wants('multi-user', 'wg-quick@wg0.service')]: { link: '/usr/lib/systemd/system/wg-quick@.service' },
      ...starts('netbird.service'),
      '/etc/openvpn/client/office.conf': 'client\nremote vpn.example.org\n<key>\nHIDDENKEY\n</key>\n',
      '/var/lib/tailscale/tailscaled.state': '{"_machinekey": "HIDDENKEY"}\n',
    },
    finds: [
      ['/etc/wireguard/wg0.conf', 'disable'],
      ['/etc/openvpn/client/office.conf', 'keep'],
      ['/var/lib/tailscale/tailscaled.state', 'keep'],
    ],
    after: { [wants('multi-user', 'wg-quick@wg0.service')]: null },
    secrets: ['HIDDENKEY'],
  },
  registrations: {
    files: {
      '/etc/zabbix/zabbix_agentd.conf': 'Server=zabbix\nHostname=web1\nTLSPSKIdentity=x\n',
      ...starts('zabbix-agent.service'),
      // It starts, and nothing says that it is registered anywhere: what others found is no reason to touch it.
      ...starts('icinga2.service'),
      '/etc/salt/minion_id': 'web1',
      '/etc/runlevels/default/salt-minion': { link: '/etc/init.d/salt-minion' },
      '/var/ossec/etc/client.keys': '003 web1 any hidden-word\n',
    },
    finds: [
      ['/etc/zabbix/zabbix_agentd.conf', 'disable'],
      ['/etc/salt/minion_id', 'disable'],
      ['/var/ossec/etc/client.keys', 'keep'],
    ],
    after: { [wants('multi-user', 'zabbix-agent.service')]: null, '/etc/runlevels/default/salt-minion': null },
    secrets: ['hidden-word'],
  },
  licences: {
    files: {
      '/etc/pki/consumer/cert.pem': '-----BEGIN CERTIFICATE-----\nhidden-word\n',
      '/opt/cad/server/node.lic': 'FEATURE cad 1 permanent hidden-word\n',
    },
    finds: [
      ['/etc/pki/consumer/cert.pem', 'unknown'],
      ['/opt/cad/server/node.lic', 'unknown'],
    ],
    secrets: ['hidden-word'],
  },
  containers: {
    files: {
      '/var/lib/docker/containers/0a1b/hostconfig.json':
        '{"RestartPolicy":{"Name":"unless-stopped","MaximumRetryCount":0}}',
      '/var/lib/docker/containers/0a1b/config.v2.json':
        '{"Name":"/shop-db","Config":{"Image":"postgres:16","Env":["PASSWORD=hidden-word"]}}',
      '/var/lib/docker/containers/0a1c/hostconfig.json': '{"RestartPolicy":{"Name":"no"}}',
      '/etc/containers/systemd/cache.container': '[Container]\nImage=docker.io/library/redis\n',
    },
    finds: [
      ['/var/lib/docker/containers/0a1b/hostconfig.json', 'unknown'],
      ['/etc/containers/systemd/cache.container', 'unknown'],
    ],
    secrets: ['hidden-word'],
  },
};

export const serviceCases: Readonly<Record<string, ServiceCase>> = { ...ownCases, ...programCases };
