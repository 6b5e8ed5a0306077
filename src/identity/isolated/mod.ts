export { createIdentityEngine, type IdentityOptions } from './engine.ts';
export { program as readerProgram } from './session.ts';
