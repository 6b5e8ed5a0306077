// Agents of monitoring, backup and administration that are registered somewhere under the name or the key of the lead;
// and licences and subscriptions, which are mostly for one host.
import { type Clue, clueRule } from '../clue.ts';

/** What is registered, the files that say so, and the units that would report. Further ones are one line each. */
const AGENTS: readonly (readonly [
  what: string,
  files: readonly string[],
  units: readonly string[],
  programs?: readonly string[],
])[] = [
  [
    'Zabbix agent',
    ['/etc/zabbix/zabbix_agent{d,2}.conf'],
    ['zabbix-agent.service', 'zabbix-agent2.service'],
    ['zabbix_agentd', 'zabbix_agent2'],
  ],
  [
    'Bareos or Bacula file daemon',
    ['/etc/{bareos,bacula}/**/bareos-fd*.conf', '/etc/bacula/bacula-fd.conf', '/etc/bareos/bareos-fd.d/client/*.conf'],
    ['bareos-fd.service', 'bareos-filedaemon.service', 'bacula-fd.service'],
  ],
  [
    'UrBackup client',
    ['/var/urbackup/data/settings.cfg', '/usr/local/var/urbackup/server_idents.txt', '/var/urbackup/server_idents.txt'],
    ['urbackupclientbackend.service', 'urbackup-client.service'],
  ],
  ['Veeam agent', ['/etc/veeam/veeam.ini'], ['veeamservice.service']],
  [
    'Puppet agent',
    [
      '/etc/puppetlabs/puppet/ssl/private_keys/*.pem',
      '/var/lib/puppet/ssl/private_keys/*.pem',
      '/etc/puppet/ssl/private_keys/*.pem',
    ],
    ['puppet.service', 'pxp-agent.service'],
  ],
  ['Salt minion', ['/etc/salt/pki/minion/minion.pem', '/etc/salt/minion_id'], ['salt-minion.service']],
  ['Chef client', ['/etc/{chef,cinc}/client.pem'], ['chef-client.service', 'cinc-client.service']],
  ['Landscape client', ['/etc/landscape/client.conf'], ['landscape-client.service']],
  [
    'Wazuh or OSSEC agent',
    ['/var/ossec/etc/client.keys'],
    ['wazuh-agent.service', 'ossec.service'],
    ['wazuh-agentd', 'ossec-agentd', 'wazuh-control', 'ossec-control'],
  ],
  ['Datadog agent', ['/etc/datadog-agent/datadog.yaml'], ['datadog-agent.service', 'datadog-agent-trace.service']],
  ['New Relic agent', ['/etc/newrelic-infra.yml'], ['newrelic-infra.service']],
  ['Elastic agent', ['/opt/Elastic/Agent/fleet.enc', '/etc/elastic-agent/fleet.enc'], ['elastic-agent.service']],
  ...['filebeat', 'metricbeat', 'packetbeat', 'auditbeat'].map(
    (beat) => [`Beats (${beat})`, [`/var/lib/${beat}/meta.json`], [`${beat}.service`]] as const,
  ),
  ['Beats (heartbeat)', ['/var/lib/heartbeat/meta.json'], ['heartbeat-elastic.service'], ['heartbeat']],
  ['Icinga 2', ['/var/lib/icinga2/certs/*.key'], ['icinga2.service']],
  ['Checkmk agent', ['/var/lib/cmk-agent/registered_connections.json'], ['cmk-agent-ctl-daemon.service']],
  [
    'Netdata',
    ['/var/lib/netdata/registry/netdata.public.unique.id', '/var/lib/netdata/cloud.d/claimed_id'],
    ['netdata.service'],
  ],
  ['CrowdStrike sensor', ['/opt/CrowdStrike/falconstore'], ['falcon-sensor.service'], ['falcond']],
  [
    'GitLab or GitHub runner',
    ['/etc/gitlab-runner/config.toml', '/home/*/actions-runner/.credentials'],
    ['gitlab-runner.service'],
  ],
  ['Teleport', ['/var/lib/teleport/host_uuid', '/var/lib/teleport/proc/**/*'], ['teleport.service']],
  [
    'CFEngine',
    ['/var/cfengine/ppkeys/localhost.priv', '/var/lib/cfengine3/ppkeys/localhost.priv'],
    ['cfengine3.service', 'cf-execd.service', 'cf-serverd.service'],
  ],
  ['AWS Systems Manager agent', ['/var/lib/amazon/ssm/**/registration'], ['amazon-ssm-agent.service']],
  ['Azure Arc agent', ['/var/opt/azcmagent/agentconfig.json'], ['himdsd.service', 'gcad.service', 'extd.service']],
  [
    'TeamViewer or AnyDesk',
    ['/opt/teamviewer/config/global.conf', '/etc/teamviewer/global.conf', '/etc/anydesk/{system,service}.conf'],
    ['teamviewerd.service', 'anydesk.service'],
  ],
  ['RustDesk', ['/root/.config/rustdesk/RustDesk.toml'], ['rustdesk.service']],
  ['MeshCentral agent', ['/usr/local/mesh*/**/meshagent.db'], ['meshagent.service']],
  [
    'GLPI, OCS or Fusion Inventory agent',
    ['/var/lib/{glpi-agent,fusioninventory-agent}/*.dump', '/var/lib/ocsinventory-agent/**/ocsinv.conf'],
    ['glpi-agent.service', 'fusioninventory-agent.service'],
  ],
  ['Nessus agent', ['/opt/nessus_agent/var/nessus/{uuid,master.key}'], ['nessusagent.service']],
  ['SentinelOne agent', ['/opt/sentinelone/configuration/basic.conf'], ['sentinelone.service']],
  ['Microsoft Defender', ['/etc/opt/microsoft/mdatp/mdatp_onboard.json'], ['mdatp.service']],
  ['Rudder agent', ['/opt/rudder/etc/uuid.hive'], ['rudder-agent.service', 'rudder-cf-execd.service']],
  ['osquery', ['/var/osquery/osquery.db/CURRENT'], ['osqueryd.service']],
  ['Buildkite agent', ['/etc/buildkite-agent/buildkite-agent.cfg'], ['buildkite-agent.service']],
  [
    'Grafana agents',
    ['/var/lib/{alloy,grafana-agent}/**/agent_seed.json', '/etc/{alloy,grafana-agent}/*seed.json'],
    ['alloy.service', 'grafana-agent.service'],
  ],
  ['BorgBackup or borgmatic', ['/etc/borgmatic/config.yaml', '/etc/borgmatic.d/*.yaml'], ['borgmatic.service']],
];

const SPEAKS = 'It would report, back up or be administered under the name of the lead, and mix the two up.';

export const registrationsRule = clueRule(
  'registrations',
  AGENTS.map(
    ([what, files, units, programs = []]): Clue => ({
      at: files,
      value: what,
      secret: true,
      why: SPEAKS,
      becomes: { action: 'disable', units: () => units, programs },
    }),
  ),
);

const LICENCE = 'It may be for one host only; whether a clone may run on it is for who holds it to say.';

export const licencesRule = clueRule('licences', [
  {
    at: ['/etc/pki/consumer/cert.pem', '/etc/pki/entitlement/*.pem', '/etc/sysconfig/rhn/systemid'],
    value: 'a subscription (Red Hat)',
    secret: true,
    why: LICENCE,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/etc/zypp/credentials.d/SCCcredentials'],
    value: 'a subscription (SUSE)',
    secret: true,
    why: LICENCE,
    becomes: { action: 'unknown' },
  },
  {
    at: ['/var/lib/ubuntu-advantage/private/machine-token.json', '/etc/ubuntu-advantage/machine-token.json'],
    value: 'a subscription (Ubuntu)',
    secret: true,
    why: LICENCE,
    becomes: { action: 'unknown' },
  },
  {
    at: [
      '/{etc,opt,srv,usr/local}/**/{license,licence,LICENSE,LICENCE}.{key,dat,lic,xml}',
      '/{etc,opt,srv,usr/local}/**/*.lic',
      '/var/lib/*/*.lic',
    ],
    value: 'a licence',
    secret: true,
    why: LICENCE,
    becomes: { action: 'unknown' },
    confidence: 'guess',
  },
]);
