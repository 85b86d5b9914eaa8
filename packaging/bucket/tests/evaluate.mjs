// Evaluates policies against a table of requests, and prints the table.
//
//     node evaluate.mjs POLICIES.json [--each-statement-matters]
//
// POLICIES.json holds {bucket, writer, auditor, client_auditor, operations, key, kms_key_arn}, each a
// policy; kms_key_arn is null without KMS. Exit code 0: every request was answered as requests.json
// says. With --each-statement-matters each statement is taken away in turn, and some answer must change:
// so neither is a statement without effect, nor a table that would not notice.

import { readFileSync } from 'node:fs'
import { runSimulation, anonymousPrincipal } from '@cloud-copilot/iam-simulate'
import { calls } from './calls.mjs'

const ACCOUNT = '111122223333'
const OTHER_ACCOUNT = '444455556666'
const EVERYTHING = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }

const [file, flag] = process.argv.slice(2)
const rendered = JSON.parse(readFileSync(file, 'utf8'))
const requests = JSON.parse(readFileSync(new URL('requests.json', import.meta.url), 'utf8'))
const bucketArn = 'arn:aws:s3:::example-evidence'

const role = (account, name) => `arn:aws:iam::${account}:role/${name}`
const roles = {
  writer: { arn: role(ACCOUNT, 'msp-evidence-writer-srv-1'), policy: 'writer' },
  auditor: { arn: role(ACCOUNT, 'msp-evidence-auditor-all'), policy: 'auditor' },
  'auditor of one client': { arn: role(ACCOUNT, 'msp-evidence-auditor-clinic-012'), policy: 'client_auditor' },
  operations: { arn: role(ACCOUNT, 'msp-evidence-operations'), policy: 'operations' },
  'account administrator': { arn: role(ACCOUNT, 'administrator') },
  'break-glass role': { arn: role(ACCOUNT, 'evidence-admin') },
  'role of another account': { arn: role(OTHER_ACCOUNT, 'administrator') },
  'nobody (unsigned)': { anonymous: true },
}

async function check(policies, request, { action, resource, context }) {
  const who = roles[request.role]
  const simulation = {
    request: {
      principal: who.anonymous ? anonymousPrincipal : who.arn,
      action,
      resource: { resource, accountId: ACCOUNT },
      contextVariables: {
        ...(who.anonymous ? {} : { 'aws:PrincipalArn': who.arn }),
        'aws:SecureTransport': String(request.tls !== false),
        ...(action.startsWith('s3:') && request.tls !== false && { 's3:TlsVersion': request.tls_version ?? '1.3' }),
        ...context,
      },
    },
    identityPolicies: who.anonymous
      ? []
      : [{ name: 'role', policy: who.policy ? policies[who.policy] : EVERYTHING }],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: action.startsWith('kms:') ? policies.key : request.bare ? undefined : policies.bucket,
  }
  const answer = await runSimulation(simulation, {})
  if (answer.resultType === 'error') {
    throw new Error(`${request.call}: ${JSON.stringify(answer.errors)}`)
  }
  const ignored = answer.resultType === 'single' ? answer.result.ignoredContextKeys ?? [] : []
  if (ignored.length > 0) {
    throw new Error(`${request.call}: ${action} knows nothing of ${ignored.join(', ')}`)
  }
  const analysis = answer.result?.analysis
  const denied = [
    ...(analysis?.resourceAnalysis?.denyStatements ?? []),
    ...(analysis?.identityAnalysis?.denyStatements ?? []),
  ].map((statement) => statement.explain?.identifier ?? '?')
  return { allowed: answer.overallResult === 'Allowed', action, denied }
}

const key = (name) =>
  name === 'THE KEY' ? rendered.kms_key_arn : name && rendered.kms_key_arn.replace(/[^/]*$/, 'another')

async function answer(policies, request) {
  const make = calls[request.call]
  if (!make) throw new Error(`no such call: ${request.call}`)
  const checks = make({ ...request, bucket: bucketArn, kms: rendered.kms_key_arn, kms_key: key(request.kms_key) })
  const results = await Promise.all(checks.map((one) => check(policies, request, one)))
  const refused = results.filter((result) => !result.allowed)
  return {
    answer: refused.length === 0 ? 'allowed' : 'denied',
    by: [...new Set(refused.flatMap((result) => (result.denied.length > 0 ? result.denied : [`no permission for ${result.action}`])))],
  }
}

const rows = requests.filter((request) => !request.only || rendered.kms_key_arn)
let wrong = 0
console.log(`${'role'.padEnd(24)}${'request'.padEnd(78)}answer`)
const answers = new Map()
for (const request of rows) {
  const got = await answer(rendered, request)
  answers.set(request, got)
  const said = got.answer === request.expect ? '' : `   WRONG: must be ${request.expect}`
  if (said) wrong += 1
  const text = request.note ? `${request.call}: ${request.note}` : request.call
  const by = got.by.length > 0 ? `  (${got.by.join(', ')})` : ''
  console.log(`${request.role.padEnd(24)}${text.padEnd(78)}${got.answer}${by}${said}`)
}
console.log(`${rows.length} requests, ${wrong} answered wrongly`)

let idle = 0
if (flag === '--each-statement-matters') {
  for (const name of ['bucket', 'writer', 'auditor', 'client_auditor', 'operations', ...(rendered.kms_key_arn ? ['key'] : [])]) {
    for (const [index, statement] of rendered[name].Statement.entries()) {
      const without = structuredClone(rendered)
      without[name].Statement.splice(index, 1)
      // No policy at all is another case than one that says nothing.
      if (without[name].Statement.length === 0) continue
      // Without a denial only what it denied can change; without a permission only what was allowed.
      const touched = rows.filter((request) =>
        statement.Effect === 'Deny' ? answers.get(request).by.includes(statement.Sid) : answers.get(request).answer === 'allowed',
      )
      let noticed = null
      for (const request of touched) {
        if ((await answer(without, request)).answer !== request.expect) {
          noticed = request
          break
        }
      }
      if (!noticed) {
        idle += 1
        console.log(`NOT NOTICED: ${name} without ${statement.Sid}`)
      } else {
        const text = noticed.note ? `${noticed.call}: ${noticed.note}` : noticed.call
        console.log(`${name} without ${statement.Sid}: noticed by ${noticed.role}, ${text}`)
      }
    }
  }
  console.log(`${idle} statements could go unnoticed`)
}
process.exitCode = wrong + idle > 0 ? 1 : 0
