// Client libraries for Node, in the flows that their documentation shows.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import test from 'node:test'

import { auth, discoverAuthorizationServerMetadata } from '@modelcontextprotocol/sdk/client/auth.js'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'

const site = JSON.parse(readFileSync(new URL('site.json', import.meta.url)))
const callback = 'https://client.example.org/callback'
const api = new URL(`${site.url}/api/hello`)
const secret = site.secrets.web

function person(...words) {
  return execFileSync('/opt/clients/venv/bin/python', ['/opt/clients/person.py', ...words.map(String)]).toString().trim()
}

for (const issuer of [site.url, `${site.url}/o`]) {
  for (const algorithm of ['oidc', 'oauth2']) {
    test(`openid-client finds ${issuer} by ${algorithm}, logs in, refreshes, asks, revokes`, async () => {
      const config = await openid.discovery(new URL(issuer), 'web', secret, undefined, { algorithm })
      const verifier = openid.randomPKCECodeVerifier()
      const nonce = openid.randomNonce()
      const state = openid.randomState()
      const url = openid.buildAuthorizationUrl(config, {
        redirect_uri: callback,
        scope: 'openid email read',
        code_challenge: await openid.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        nonce,
        state,
      })

      const tokens = await openid.authorizationCodeGrant(config, new URL(person('agree', url)), {
        pkceCodeVerifier: verifier,
        expectedNonce: nonce,
        expectedState: state,
        idTokenExpected: true,
      })
      if (algorithm === 'oidc') {
        const claims = await openid.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
        assert.equal(claims.email, 'someone@example.org')
        const logout = openid.buildEndSessionUrl(config, {
          id_token_hint: tokens.id_token,
          post_logout_redirect_uri: 'https://client.example.org/',
        })
        const answer = await fetch(logout, { redirect: 'manual' })
        assert.equal(answer.headers.get('Location'), 'https://client.example.org/')
      }
      const next = await openid.refreshTokenGrant(config, tokens.refresh_token)
      assert.equal(await (await openid.fetchProtectedResource(config, next.access_token, api, 'GET')).text(), 'Hello, OAuth2!')
      assert.equal((await openid.tokenIntrospection(config, next.access_token)).active, true)
      await openid.tokenRevocation(config, next.refresh_token)
      assert.equal((await openid.tokenIntrospection(config, next.access_token)).active, false)
      await assert.rejects(openid.refreshTokenGrant(config, next.refresh_token), { error: 'invalid_grant' })
    })
  }
}

test('openid-client as a device', async () => {
  const config = await openid.discovery(new URL(site.url), 'television', undefined, openid.None())
  const begun = await openid.initiateDeviceAuthorization(config, { scope: 'openid email' })
  const polled = openid.pollDeviceAuthorizationGrant(config, begun, undefined, { signal: AbortSignal.timeout(60000) })
  person('connect', begun.verification_uri_complete)

  const tokens = await polled
  const claims = await openid.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
  assert.equal(claims.email, 'someone@example.org')
  assert.ok((await openid.refreshTokenGrant(config, tokens.refresh_token)).access_token)
})

test('openid-client as a service', async () => {
  const config = await openid.discovery(new URL(site.url), 'service', site.secrets.service, undefined, { algorithm: 'oauth2' })
  const tokens = await openid.clientCredentialsGrant(config, { scope: 'read' })
  assert.equal((await openid.fetchProtectedResource(config, tokens.access_token, api, 'GET')).status, 200)
})

test('oauth4webapi as a native app', async () => {
  const issuer = new URL(site.url)
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer))
  const client = { client_id: 'native' }
  const redirect = 'http://127.0.0.1:54321/callback'
  const verifier = oauth.generateRandomCodeVerifier()
  const nonce = oauth.generateRandomNonce()
  const url = new URL(server.authorization_endpoint)
  url.search = new URLSearchParams({
    client_id: 'native',
    redirect_uri: redirect,
    response_type: 'code',
    scope: 'openid email read',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    nonce,
  })
  const parameters = oauth.validateAuthResponse(server, client, new URL(person('agree', url)), oauth.expectNoState)
  const got = await oauth.processAuthorizationCodeResponse(
    server,
    client,
    await oauth.authorizationCodeGrantRequest(server, client, oauth.None(), parameters, redirect, verifier),
    { expectedNonce: nonce, requireIdToken: true },
  )
  const { sub } = oauth.getValidatedIdTokenClaims(got)
  const response = await oauth.userInfoRequest(server, client, got.access_token)
  const claims = await oauth.processUserInfoResponse(server, client, sub, response)
  assert.equal(claims.email, 'someone@example.org')
  const next = await oauth.processRefreshTokenResponse(
    server,
    client,
    await oauth.refreshTokenGrantRequest(server, client, oauth.None(), got.refresh_token),
  )
  assert.equal((await oauth.protectedResourceRequest(next.access_token, 'GET', api)).status, 200)
  await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, oauth.None(), next.refresh_token))
  await assert.rejects(oauth.protectedResourceRequest(next.access_token, 'GET', api), { status: 401 })
})

test('the SDK of the Model Context Protocol asks the resource who gives tokens', async () => {
  for (const issuer of [site.url, `${site.url}/o`]) {
    assert.equal((await discoverAuthorizationServerMetadata(issuer)).issuer, issuer)
  }
  const kept = {}
  const provider = {
    redirectUrl: callback,
    clientMetadata: { redirect_uris: [callback], scope: 'read' },
    clientInformation: () => ({ client_id: 'web', client_secret: secret }),
    tokens: () => kept.tokens,
    saveTokens: (tokens) => { kept.tokens = tokens },
    redirectToAuthorization: (url) => { kept.code = new URL(person('agree', url)).searchParams.get('code') },
    saveCodeVerifier: (verifier) => { kept.verifier = verifier },
    codeVerifier: () => kept.verifier,
  }
  const ask = () => fetch(api, { headers: { Authorization: `Bearer ${kept.tokens?.access_token}` } })
  assert.equal(await auth(provider, { serverUrl: api }), 'REDIRECT')
  assert.equal(await auth(provider, { serverUrl: api, authorizationCode: kept.code }), 'AUTHORIZED')
  assert.equal((await ask()).status, 200)
  const before = kept.tokens.access_token
  assert.equal(await auth(provider, { serverUrl: api }), 'AUTHORIZED')
  assert.notEqual(kept.tokens.access_token, before)
  assert.equal((await ask()).status, 200)
})
