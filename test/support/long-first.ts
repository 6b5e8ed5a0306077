// The order of test files: the longest first, so that at the end both workers have something to do. Vitest knows by itself what took
// long only where it has run before, and a server's clone has never.
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take more than half a minute, the longest first. */
const LONG = [
  'test/demo/demo.test.ts',
  'test/integration/copy-join.test.ts',
  'test/model/ring.test.ts',
  'test/integration/guests.test.ts',
  'test/fuzz/readers.test.ts',
  'test/integration/format-table.test.ts',
  'test/fault/engagement.test.ts',
  'test/fault/hang.test.ts',
  'test/fault/storage.test.ts',
  'test/fault/source.test.ts',
  'test/conformance/storage-daemon.test.ts',
  'test/fault/identity-hostile.test.ts',
  'test/conformance/network-local.test.ts',
  'test/fault/kills.test.ts',
  'test/integration/source-image.test.ts',
  'test/integration/agentless.test.ts',
  'test/integration/copy-source.test.ts',
  'test/fault/target.test.ts',
  'test/integration/copy-resume.test.ts',
  'test/integration/power-ipmi.test.ts',
  'test/integration/extent.test.ts',
  'test/integration/doctor.test.ts',
  'test/integration/agent-link.test.ts',
];

function placeOf({ moduleId }: TestSpecification): number {
  const place = LONG.findIndex((file) => moduleId.endsWith(file));
  return place < 0 ? LONG.length : place;
}

export default class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => placeOf(a) - placeOf(b));
  }
}
