-- `host run NAME.lua --print-config` shows every key, its value and where it comes from.
-- Secrets are not in here: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are in the environment, the
-- client's secret in a file or in LUAHOST_KEYCLOAK_CLIENT_SECRET.
return {
    -- These fit `host sandbox`; for your own servers change them.
    queue = {
        url = "http://127.0.0.1:9324/000000000000/registrations",
        endpoint = "http://127.0.0.1:9324", -- on AWS: leave this line out
        region = "us-east-1",
    },
    keycloak = {
        url = "http://127.0.0.1:9324",
        realm = "demo",
        client_id = "luahost",
        -- client_secret_file = "/run/secrets/keycloak",
    },
    workers = { max = 4 },
    slots = 4,
}
