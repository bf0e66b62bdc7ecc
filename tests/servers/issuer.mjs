// A real authorization server for tests: npm `oidc-provider` on loopback, with its own pages to sign in (any name, any
// password). One line of JSON on stdin configures it ({modules, jwks, clients}), each further line ({jwks}) rotates
// its keys; it prints its issuer, and ends when stdin does.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

process.removeAllListeners("warning");
console.info = console.warn = () => {};
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const given = JSON.parse((await lines.next()).value);
const { default: Provider } = await import(pathToFileURL(join(given.modules, "oidc-provider", "lib", "index.js")));

let handle;
const server = createServer((request, response) => handle(request, response));
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

function begin(jwks) {
  const resources = {
    enabled: true,
    defaultResource: (ctx, client, oneOf) => oneOf ?? [],
    useGrantedResource: () => true,
    getResourceServerInfo: (ctx, resource) => ({
      scope: "tools",
      audience: resource,
      accessTokenTTL: 600,
      accessTokenFormat: "jwt",
      jwt: { sign: { alg: "RS256" } },
    }),
  };
  const provider = new Provider(issuer, {
    jwks,
    clients: given.clients,
    cookies: { keys: ["only", "for", "tests"] },
    scopes: ["openid", "offline_access", "tools"],
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed("refresh_token"),
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: resources,
    },
  });
  handle = provider.callback();
}

begin(given.jwks);
process.stdout.write(`${issuer}\n`);
for await (const line of lines) {
  begin(JSON.parse(line).jwks);
  process.stdout.write("rotated\n");
}
process.exit(0);
