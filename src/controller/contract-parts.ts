// Views of what people have ordered, and of what services need beside hosts: parts of contract.ts.

/** Something that holds the controller back, by order of somebody. */
export interface HoldView {
  /**
   * 'pause': no engagement of the service is begun or ended but by hand. 'dismissal': none is begun, because somebody
   * dismissed a spare of it. 'maintenance': the host takes part in no engagement.
   */
  readonly kind: 'pause' | 'dismissal' | 'maintenance';
  /** The service; of maintenance the host. */
  readonly name: string;
  /** Who ordered it; null: not known. */
  readonly by: string | null;
  readonly since: string;
  /** null: until somebody lifts it. */
  readonly until: string | null;
  /** One line for people. */
  readonly text: string;
}

/**
 * 'ok': it does its work. 'degraded': some of it. 'down': none. 'unreachable': it cannot be asked. 'unknown': it was
 * not asked, or not lately.
 */
export type ComponentState = 'ok' | 'degraded' | 'down' | 'unreachable' | 'unknown';

/** What services need beside hosts. */
export interface ComponentView {
  readonly kind: 'director' | 'storage' | 'store';
  /** Of a director the service before which it stands; of the storage node its own. */
  readonly name: string;
  /** "haproxy", "qemu-storage-daemon", "store.db". */
  readonly driver: string;
  readonly state: ComponentState;
  /** One line for people. */
  readonly detail: string;
  /** Since when it is in this state; null: not known. */
  readonly since: string | null;
}
