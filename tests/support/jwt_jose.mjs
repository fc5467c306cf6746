// SPDX-License-Identifier: Apache-2.0
// Tokens both ways with npm jose. The signing key is the test's own latticed's.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { createHmac, createPublicKey, randomUUID } from 'node:crypto';

const require = createRequire(new URL('../npm/package.json', import.meta.url));
const jose = await import(pathToFileURL(require.resolve('jose')).href);
const base = process.env.LATTICE_URL, jwt = process.env.LATTICE_JWT;
let failed = 0;
const ok = (condition, what, detail = '') => {
    console.log(`${condition ? 'ok' : 'not ok'} - ${what}`);
    if (!condition) {
        failed++;
        console.log(`#   ${detail}`);
    }
};
const self = async (token) => {
    const r = await fetch(`${base}/api/v1/agent-isolation/self`, { headers: { Authorization: `Bearer ${token}` } });
    return { status: r.status, type: r.headers.get('content-type'), body: await r.json() };
};

// latticed signs, jose verifies
const jwks = jose.createRemoteJWKSet(new URL(`${base}/.well-known/jwks.json`));
const expected = { issuer: 'lattice-agent-registration', audience: 'lattice', algorithms: ['ES256'], maxTokenAge: '15 min' };
const { payload, protectedHeader } = await jose.jwtVerify(jwt, jwks, expected);
ok(payload.agent_id === 'bot' && payload.sub === 'bot' && payload.namespace === 'team', 'jose verifies our token by the key set', JSON.stringify(payload));
ok(payload.exp - payload.iat <= 900 && Array.isArray(payload.allowed_tools), 'it lives 15 minutes at most and names the tools', JSON.stringify(payload));
const key = (await (await fetch(`${base}/.well-known/jwks.json`)).json()).keys[0];
ok(protectedHeader.kid === await jose.calculateJwkThumbprint(key), "kid is the key's thumbprint (RFC 7638)", protectedHeader.kid);
for (const [what, change] of Object.entries({ 'another audience': { audience: 'else' }, 'another issuer': { issuer: 'else' } })) {
    const error = await jose.jwtVerify(jwt, jwks, { ...expected, ...change }).catch((e) => e.code);
    ok(error === 'ERR_JWT_CLAIM_VALIDATION_FAILED', `jose, asked for ${what}, refuses it`, error);
}
const [head, body, signature] = jwt.split('.');
const flipped = `${head}.${body}.${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`;
ok(await jose.jwtVerify(flipped, jwks, expected).catch((e) => e.code) === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED', 'jose refuses a flipped signature');

// jose signs, latticed verifies
const pem = readFileSync(process.env.LATTICE_KEY_FILE, 'utf8');
const signing = await jose.importPKCS8(pem, 'ES256', { extractable: true });
const stranger = (await jose.generateKeyPair('ES256', { extractable: true })).privateKey;
const header = { alg: 'ES256', kid: protectedHeader.kid, typ: 'JWT' };
const now = Math.floor(Date.now() / 1000);
const claims = { ...payload, iat: now, nbf: now, exp: now + 300, jti: randomUUID().replaceAll('-', '') };
const sign = (c = {}, h = {}, k = signing) => {
    const all = Object.fromEntries(Object.entries({ ...claims, ...c }).filter(([, v]) => v !== undefined));
    return new jose.SignJWT(all).setProtectedHeader({ ...header, ...h }).sign(k, { crit: { exp: true } });
};
const taken = await self(await sign());
ok(taken.status === 200 && taken.body.data.agent.name === 'bot', 'latticed takes what jose signs with its key', JSON.stringify(taken));
const b64 = (v) => Buffer.from(typeof v === 'string' ? v : JSON.stringify(v)).toString('base64url');
const raw = (h, c, s = '') => `${b64(h)}.${b64(c)}.${s}`;
const text = `${b64({ ...header, alg: 'HS256' })}.${b64(claims)}`;
const publicPem = createPublicKey(pem).export({ type: 'spki', format: 'pem' });
const text512 = `${b64({ ...header, alg: 'HS512' })}.${b64(claims)}`; // its signature is as long as ES256's
const hmac512 = createHmac('sha512', publicPem).update(text512).digest('base64url');
const hmac = createHmac('sha256', publicPem).update(text).digest('base64url');
const publicJwk = await jose.exportJWK(await jose.importSPKI(publicPem, 'ES256', { extractable: true }));
const refused = {
    'alg none': new jose.UnsecuredJWT(claims).encode(),
    'alg None': raw({ ...header, alg: 'None' }, claims), 'alg nOnE': raw({ ...header, alg: 'nOnE' }, claims),
    'alg none and a signature': raw({ ...header, alg: 'none' }, claims, signature),
    'HS256 with the public key as secret': `${text}.${hmac}`, 'HS512 with the public key as secret': `${text512}.${hmac512}`,
    "another key under our key's id": await sign({}, {}, stranger),
    'an unknown kid': await sign({}, { kid: 'A'.repeat(43) }), 'no kid': await sign({}, { kid: undefined }),
    'a path as kid': await sign({}, { kid: '../../etc/passwd' }),
    'an embedded key': await sign({}, { jwk: publicJwk, kid: undefined }, stranger),
    'jku': await sign({}, { jku: `${base}/.well-known/jwks.json` }), 'x5u': await sign({}, { x5u: `${base}/` }),
    'crit': await sign({}, { crit: ['exp'], exp: 1 }),
    'expired': await sign({ iat: now - 600, nbf: now - 600, exp: now - 120 }),
    'not yet valid': await sign({ nbf: now + 120 }), 'issued in the future': await sign({ iat: now + 120, nbf: now + 120, exp: now + 200 }),
    'a life of an hour': await sign({ exp: now + 3600 }), 'no exp': await sign({ exp: undefined }), 'no iat': await sign({ iat: undefined }),
    'a fraction as exp': raw(header, { ...claims, exp: now + 0.5 }, signature), 'a text as exp': await signRaw({ ...claims, exp: `${now + 300}` }),
    'exp with a fraction, signed': await signRaw({ ...claims, exp: now + 300.5 }), 'a huge exp, signed': await signRaw({ ...claims, exp: 1e300 }),
    'another audience': await sign({ aud: 'else' }), 'no audience': await sign({ aud: undefined }), 'another issuer': await sign({ iss: 'else' }),
    'another use': await sign({ token_use: 'enrollment' }), 'another subject than agent': await sign({ sub: 'root' }),
    'an agent that is none': await sign({ sub: 'ghost', agent_id: 'ghost' }), 'another namespace': await sign({ namespace: 'else' }),
    'a doubled claim': await signText(JSON.stringify(claims).replace('{', '{"agent_id":"root",')),
    'encrypted instead of signed': await new jose.EncryptJWT(claims).setProtectedHeader({ alg: 'dir', enc: 'A256GCM' }).encrypt(Buffer.alloc(32)),
};
async function signText(payloadText) {
    return new jose.CompactSign(Buffer.from(payloadText)).setProtectedHeader(header).sign(signing);
}
async function signRaw(c) {
    return signText(JSON.stringify(c));
}
for (const [what, token] of Object.entries(refused)) {
    const r = await self(token);
    const said = JSON.stringify(r.body);
    ok(r.status === 401 && r.type === 'application/problem+json' && r.body.detail !== '' && !said.includes(token.slice(0, 20)),
        `a token with ${what} is refused, and not shown: ${r.body.detail}`, said);
}
const again = await self(await sign({ aud: ['else', 'lattice'] }));
ok(again.status === 200, 'an audience that is a list with us in it is taken (RFC 7519 4.1.3)', JSON.stringify(again));
process.exit(failed ? 1 : 0);
