// A certified OpenID Connect provider (the package oidc-provider) with its own pages for logging in: anybody may,
// under any name. It prints its address, and ends when its standard input does.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [clientId, clientSecret, path] = process.argv.slice(2);
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        // Of such a client any port of loopback will do (RFC 8252, 7.3): the service has a free one.
        application_type: "native",
        redirect_uris: [`http://127.0.0.1${path}`],
        grant_types: ["authorization_code"],
        response_types: ["code"],
      },
    ],
    claims: { openid: ["sub"], profile: ["name", "groups"], email: ["email"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: id, groups: ["staff"], email: `${id}@example.com` }) }),
    cookies: { keys: ["one key is enough here"] },
    ttl: { IdToken: 600, AccessToken: 600, AuthorizationCode: 60, Session: 600, Grant: 600, Interaction: 600 },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
