// What is kept beside the volumes, apart from the store: a stamp for each volume, a header for each backup, and what
// must never be used twice. With it a volume says itself what it holds, so a store that was lost, or replaced by an
// older copy, is noticed before anything is done by it.
import type { Backup, VolumeContent } from '../contract.ts';

/** What a stamp and a record of a volume both say. */
export interface VolumeState {
  readonly content: VolumeContent;
  /** Host that has it. */
  readonly attachedTo: string | null;
  /** Raised by every operation that changes the content. */
  readonly generation: number;
}

/**
 * Written durably before the record of the store, which in turn is written before the bytes that it is about. So a
 * record is at `from` (the change was not recorded: its step is repeated) or at `to`.
 */
export interface Stamp {
  readonly format: 1;
  readonly volume: string;
  readonly path: string;
  /** Which storage it is about (`diskKey`), whatever its path is today. */
  readonly disk: string;
  /** Whose step leads from `from` to `to`; null: no engagement has to do with it. */
  readonly engagement: string | null;
  /** Of the controller for which it was written. */
  readonly epoch: number;
  readonly from: VolumeState;
  readonly to: VolumeState;
  /** ISO 8601, for people. */
  readonly writtenAt: string;
}

/** Beside each complete backup: all that a restore needs, without any store. */
export interface BackupHeader {
  readonly format: 1;
  readonly volume: string;
  readonly path: string;
  readonly disk: string;
  readonly epoch: number;
  readonly backup: Backup;
}

/** A complete backup as it lies in the folder. */
export interface FoundBackup {
  /** By the name of its file. */
  readonly volume: string;
  readonly engagement: string;
  /** null: it has none, or none that can be read. */
  readonly header: BackupHeader | null;
}

/** Highest numbers that were ever given: a later controller begins above them, whatever its store says. */
export interface Floor {
  readonly format: 1;
  readonly epoch: number;
  /** Of engagements: their names end with it. */
  readonly sequence: number;
  /** Why the store is not believed until `understudy recover` has been run; null: it is believed. */
  readonly unsettled: string | null;
}

/** Small texts, each whole or not there, and durable when a call resolves. Names have no "/". */
export interface Texts {
  names(): Promise<readonly string[]>;
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
  remove(name: string): Promise<void>;
}
