export interface Advisory {
  /** GHSA number, as in https://github.com/advisories/ID. */
  readonly id: string;
  readonly package: string;
  readonly severity: string;
  /** Range of npm's semver. */
  readonly vulnerable: string;
  readonly title: string;
  /** Why it does no harm here; without it, an affected package fails the audit. */
  readonly accepted?: string;
}

export interface AdvisoryList {
  /** Day on which the registry was last asked, YYYY-MM-DD; null: never. */
  readonly askedAt: string | null;
  /** Day on which the list was last compared with published advisories by hand. */
  readonly gatheredAt: string;
  readonly advisories: readonly Advisory[];
}

export interface Lock {
  readonly packages: Readonly<Record<string, { readonly name?: string; readonly version?: string }>>;
}

export interface Found {
  readonly advisory: Advisory;
  readonly path: string;
  readonly version: string;
}

export function lockedPackages(
  lock: Lock,
): { readonly path: string; readonly name: string; readonly version: string }[];
export function findings(lock: Lock, list: AdvisoryList): Found[];
export function ageOf(list: AdvisoryList, now?: number): string;
export function merged(list: AdvisoryList, report: object, day: string): AdvisoryList;
