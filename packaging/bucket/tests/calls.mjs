// Which permissions a call to S3 or KMS needs, and what the store knows of it then.
//
// Sources: S3 User Guide, "Required permissions for Amazon S3 API operations" and "Enforce conditional
// writes on Amazon S3 buckets"; Service Authorization Reference, Amazon S3. A put with lock headers is
// authorised for s3:PutObjectRetention too, one with a legal hold for s3:PutObjectLegalHold.
//
// What the documentation does not say is whether UploadPart and CompleteMultipartUpload, which carry no
// lock headers, are judged without the keys of Object Lock or with those of the upload that they belong
// to. Requests may give `mode` and `days` for them, so that both readings are tried.

const lock = (request) => ({
  ...(request.mode && { 's3:object-lock-mode': request.mode }),
  ...(request.days !== undefined && { 's3:object-lock-remaining-retention-days': String(request.days) }),
})

const put = (creates) => (request) => {
  const object = `${request.bucket}/${request.key}`
  const checks = [
    {
      action: 's3:PutObject',
      resource: object,
      context: {
        's3:ObjectCreationOperation': String(creates),
        ...(request.if_none_match && { 's3:if-none-match': '*' }),
        ...lock(request),
        ...(request.hold && { 's3:object-lock-legal-hold': request.hold }),
        ...(request.encryption && { 's3:x-amz-server-side-encryption': request.encryption }),
        ...(request.kms_key && { 's3:x-amz-server-side-encryption-aws-kms-key-id': request.kms_key }),
        ...(request.customer_key && { 's3:x-amz-server-side-encryption-customer-algorithm': 'AES256' }),
      },
    },
  ]
  if (request.mode) checks.push({ action: 's3:PutObjectRetention', resource: object, context: lock(request) })
  if (request.hold) {
    checks.push({
      action: 's3:PutObjectLegalHold',
      resource: object,
      context: { 's3:object-lock-legal-hold': request.hold },
    })
  }
  return checks
}
// The lock of a part's upload is known to the store, if at all; no permission is asked for it again.
const part = (creates) => (request) => put(creates)(request).slice(0, 1)

const object = (action) => (request) => [{ action, resource: `${request.bucket}/${request.key}`, context: {} }]
const bucket = (action) => (request) => [{ action, resource: request.bucket, context: {} }]
const listing = (action) => (request) => [
  { action, resource: request.bucket, context: request.prefix === undefined ? {} : { 's3:prefix': request.prefix } },
]
const key = (action) => (request) => [{ action, resource: request.kms, context: request.via && { 'kms:ViaService': request.via } }]

export const calls = {
  AbortMultipartUpload: object('s3:AbortMultipartUpload'),
  CompleteMultipartUpload: part(true),
  CreateMultipartUpload: put(false),
  DeleteBucket: bucket('s3:DeleteBucket'),
  DeleteBucketPolicy: bucket('s3:DeleteBucketPolicy'),
  DeleteObject: object('s3:DeleteObject'),
  'DeleteObject by version': object('s3:DeleteObjectVersion'),
  'DeleteObject by version, bypassing GOVERNANCE': (request) => [
    ...object('s3:DeleteObjectVersion')(request),
    ...object('s3:BypassGovernanceRetention')(request),
  ],
  GetBucketPolicy: bucket('s3:GetBucketPolicy'),
  GetBucketVersioning: bucket('s3:GetBucketVersioning'),
  GetObject: object('s3:GetObject'),
  'GetObject by version': object('s3:GetObjectVersion'),
  GetObjectLegalHold: object('s3:GetObjectLegalHold'),
  GetObjectLockConfiguration: bucket('s3:GetBucketObjectLockConfiguration'),
  GetObjectRetention: object('s3:GetObjectRetention'),
  HeadBucket: bucket('s3:ListBucket'),
  'HeadObject by version': object('s3:GetObjectVersion'),
  ListObjectsV2: listing('s3:ListBucket'),
  ListObjectVersions: listing('s3:ListBucketVersions'),
  ListParts: object('s3:ListMultipartUploadParts'),
  PutBucketEncryption: bucket('s3:PutEncryptionConfiguration'),
  PutBucketLifecycleConfiguration: bucket('s3:PutLifecycleConfiguration'),
  PutBucketPolicy: bucket('s3:PutBucketPolicy'),
  PutBucketReplication: bucket('s3:PutReplicationConfiguration'),
  PutBucketVersioning: bucket('s3:PutBucketVersioning'),
  PutObject: put(true),
  PutObjectLegalHold: (request) => [
    {
      action: 's3:PutObjectLegalHold',
      resource: `${request.bucket}/${request.key}`,
      context: { 's3:object-lock-legal-hold': request.hold },
    },
  ],
  PutObjectLockConfiguration: bucket('s3:PutBucketObjectLockConfiguration'),
  PutObjectRetention: (request) => [
    { action: 's3:PutObjectRetention', resource: `${request.bucket}/${request.key}`, context: lock(request) },
  ],
  PutPublicAccessBlock: bucket('s3:PutBucketPublicAccessBlock'),
  UpdateObjectEncryption: object('s3:UpdateObjectEncryption'),
  UploadPart: part(false),

  'KMS Decrypt': key('kms:Decrypt'),
  'KMS GenerateDataKey': key('kms:GenerateDataKey'),
  'KMS DisableKey': key('kms:DisableKey'),
  'KMS PutKeyPolicy': key('kms:PutKeyPolicy'),
  'KMS ScheduleKeyDeletion': key('kms:ScheduleKeyDeletion'),
}
