local t = require "host.test"
local account = t.handler "account"

local function ada(more)
    local event = { user = { username = "ada", email = "ada@example.org", firstName = "Ada" } }
    for name, value in pairs(more) do event[name] = value end
    return { json = event }
end

t.case("merge writes what differs, and nothing if nothing does", function()
    t.keycloak.realm {}
    t.equal(account:run(ada { merge = { firstName = "Ada", email = "ADA@example.org" } }).outcome,
        "ack")
    t.equal(#t.http.requests "^PUT", 0)
    t.equal(account:run(ada { merge = { firstName = "Augusta", lastName = "King" } }).outcome,
        "ack")
    t.equal(t.http.requests("^PUT")[1].json, { firstName = "Augusta", lastName = "King" })
    t.equal(t.keycloak.user("ada").firstName, "Augusta")
end)

t.case("attributes are merged by name, and the names go with them", function()
    t.keycloak.realm {}
    account:run(ada { merge = { attributes = { tier = "gold" } } })
    t.equal(t.http.requests("^PUT")[1].json, { email = "ada@example.org", firstName = "Ada",
        attributes = { tier = { "gold" } } })
    t.equal(t.keycloak.user("ada").firstName, "Ada")
end)

t.case("client roles, organizations and mails can be looked at", function()
    t.keycloak.realm { client_roles = { shop = { "reader", "writer" } },
        organizations = { "Acme" } }
    local event = ada { password = "open sesame", join = "Acme", mail = { "VERIFY_EMAIL" } }
    event.json.user.clientRoles = { shop = { "reader" } }
    t.equal(account:run(event).outcome, "ack")
    local user = t.keycloak.user "ada"
    t.equal(user.clientRoles, { shop = { "reader" } })
    t.equal(user.organizations, { "Acme" })
    t.equal(t.keycloak.mails(), { { to = "ada@example.org", actions = { "VERIFY_EMAIL" } } })
end)

t.case("a client or an organization that is not there is told by name", function()
    t.keycloak.realm {}
    local event = ada {}
    event.json.user.clientRoles = { shop = { "reader" } }
    t.matches(account:run(event).reason, "no client shop")
    t.matches(account:run(ada { join = "Nowhere" }).reason, "no organization Nowhere")
end)

t.case("what merge does not change is said", function()
    t.keycloak.realm {}
    t.matches(account:run(ada { merge = { groups = { "/x" } } }).reason, "groups is not changed")
end)
