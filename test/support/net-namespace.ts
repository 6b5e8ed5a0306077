// The private network of the demo, for tests.
export * from '../../guests/mod.ts';
