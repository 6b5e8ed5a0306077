// Rules of which most is data: what there is about services and systems that must not exist twice.
import type { Rule } from '../contract.ts';
import { bootLoaderRule } from './boot-loader.ts';
import { certificatesRule } from './certificates.ts';
import { cloudInitRule } from './cloud-init.ts';
import { clustersRule, rabbitmqRule } from './clusters.ts';
import { containersRule } from './containers.ts';
import { atJobsRule, cronRule } from './cron.ts';
import { mongodbRule, mysqlRule, postgresqlRule, redisRule, searchEnginesRule } from './databases.ts';
import { dhcpRule } from './dhcp.ts';
import { diskNamesRule } from './disk-names.ts';
import { fileSystemsRule } from './file-systems.ts';
import { guestsRule } from './guests.ts';
import { identifiersRule } from './identifiers.ts';
import { mailQueuesRule } from './mail-queues.ts';
import { membershipRule, vpnRule } from './membership.ts';
import { networkServersRule } from './network-servers.ts';
import { nicNamesRule } from './nic-names.ts';
import { randomSeedRule } from './random-seed.ts';
import { licencesRule, registrationsRule } from './registrations.ts';
import { singleWorkersRule } from './single-workers.ts';
import { storageInitiatorRule } from './storage-initiator.ts';
import { timersRule } from './timers.ts';

/** In the order in which they look and change; none needs what another one has changed. */
export const declaredRules: readonly Rule[] = [
  nicNamesRule,
  dhcpRule,
  networkServersRule,
  randomSeedRule,
  cloudInitRule,
  storageInitiatorRule,
  fileSystemsRule,
  diskNamesRule,
  bootLoaderRule,
  cronRule,
  atJobsRule,
  timersRule,
  mailQueuesRule,
  mysqlRule,
  postgresqlRule,
  redisRule,
  mongodbRule,
  searchEnginesRule,
  rabbitmqRule,
  clustersRule,
  membershipRule,
  vpnRule,
  certificatesRule,
  registrationsRule,
  licencesRule,
  containersRule,
  guestsRule,
  singleWorkersRule,
  identifiersRule,
];
