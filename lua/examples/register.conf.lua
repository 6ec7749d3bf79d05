-- Settings of register.lua, as they fit `host sandbox`. For your own queue and Keycloak change
-- these lines, or leave the file alone and set LUAHOST_QUEUE_URL and the like: the environment
-- wins. `host run --print-config` shows what is in force, and why.
--
-- The client's secret is not here. It comes from the variable LUAHOST_KEYCLOAK_CLIENT_SECRET, or
-- from a file: client_secret_file = "/run/secrets/keycloak". AWS keys come from the usual AWS_*
-- variables; `host sandbox` prints the lines to set all of them.
return {
    queue = {
        url = "http://127.0.0.1:9324/000000000000/registrations",
        endpoint = "http://127.0.0.1:9324", -- on AWS: leave this line out
        region = "us-east-1",
    },
    keycloak = {
        url = "http://127.0.0.1:9324",
        realm = "demo",
        client_id = "luahost",
    },
    -- Registrations in progress at once: workers × slots. Start small, Keycloak has to keep up.
    workers = { max = 4 },
    slots = 4,
}
