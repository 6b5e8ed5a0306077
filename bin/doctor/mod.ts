// `understudy doctor`: all that the configuration needs, looked at one thing after the other. Nothing is changed, and
// it may run while `understudy up` does.
import type { Check } from '../../src/cli/mod.ts';
import { readConfiguration } from '../../src/config/mod.ts';
import { driverSchemas } from '../drivers.ts';
import { examineBackups } from './backups.ts';
import { examineCertificates } from './certificates.ts';
import { examineGateways } from './gateways.ts';
import { examineHosts } from './hosts.ts';
import { examineMachine } from './machine.ts';
import { examineRecords } from './records.ts';
import { examineServices } from './services.ts';
import { examineStamps } from './stamps.ts';
import { examineUsers } from './users.ts';
import { examineVolumes } from './volumes.ts';

/** @throws CONFIG_UNREADABLE, INTERRUPTED */
export async function* examine(file: string, signal: AbortSignal): AsyncIterable<Check> {
  const { configuration, problems } = await readConfiguration(file, driverSchemas);
  for (const { line, column, text, hint } of problems) {
    const subject = `${file}:${line}:${column}`;
    yield { check: 'configuration', subject, state: 'failed', detail: text, remedy: hint };
  }
  if (configuration === null) return;
  const { hosts, services } = configuration;
  const detail = `${hosts.size} hosts, ${services.size} services`;
  yield { check: 'configuration', subject: file, state: 'ok', detail, remedy: null };
  yield* examineMachine(configuration);
  yield* examineRecords(configuration);
  yield* examineStamps(configuration);
  yield* examineBackups(configuration);
  yield* examineCertificates(configuration);
  yield* examineGateways(configuration);
  yield* examineVolumes(configuration);
  yield* examineUsers(configuration);
  yield* examineHosts(configuration, signal);
  yield* examineServices(configuration, signal);
}
