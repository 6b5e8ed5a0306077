export {
  AUTHORITY_DAYS,
  CERTIFICATE_DAYS,
  expiringWithin,
  initAuthority,
  issueCertificate,
  renewCertificate,
  revokeCertificates,
} from './authority.ts';
export {
  type Authority,
  type Certificate,
  type CertificateKind,
  type Certificates,
  type KeyPair,
  KINDS,
  ROLES,
  type Subject,
  type UserRole,
} from './contract.ts';
export { EXPIRY_NOTICE_DAYS, type Expiry, expiriesOf } from './expiry.ts';
export {
  AUTHORITY,
  AUTHORITY_KEY,
  findCertificate,
  readCertificates,
  readKeyOf,
  readKeyPair,
  serialOf,
  titlesOf,
} from './folder.ts';
export { readIssued } from './lists.ts';
export { certificateReason, trustProblem } from './reasons.ts';
export { ownRevocationList, REVOCATION_LIST } from './revocation-list.ts';
export { distinguishedNameOf, parseSubject, titleOf } from './subject.ts';
export { type WatchOptions, watchCertificates } from './watch.ts';
