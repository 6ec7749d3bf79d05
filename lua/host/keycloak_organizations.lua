--- Organizations of a realm and who is a member; see host.keycloak.

local call = require "host.keycloak_call"
local names = require "host.keycloak_names"

local NOT_MEMBER = "HTTP 404 Not Found"

local function checked(id, what)
    if type(id) ~= "string" or id == "" then
        call.fail { kind = "usage", message = ("host.keycloak: %s was expected, found %s")
            :format(what, id == "" and "an empty string" or type(id)) }
    end
    return id
end

-- @param api a function that returns what call.api does
return function(api)
    local organizations, members = {}, {}

    local function path_to(at, org, ...)
        local id = type(org) == "table" and org.id or names.existing_organization(at, org).id
        return { "organizations", checked(id, "an organization's id"), ... }
    end

    --- The organization with exactly this name or domain; may be a minute old. Its alias is not
    -- looked at: Keycloak does not search there.
    -- @param name "Acme" or "acme.example"
    -- @return the organization {id, name, alias, …}, or nil
    function organizations.find(name) return names.organization(api(), name) end

    --- The organization of an id.
    -- @param id of the organization
    -- @return the organization, with its attributes, or nil
    function organizations.get(id)
        local answer, org = call.send(api(), "GET",
            { "organizations", checked(id, "an organization's id") },
            { absent = "Organization not found." })
        return answer.status == 200 and org or nil
    end

    --- The organizations of a user.
    -- @param id of the user
    -- @return a list, empty if there is none
    function organizations.of(id)
        local _, list = call.send(api(), "GET",
            { "organizations", "members", checked(id, "a user's id"), "organizations" })
        return list
    end

    --- Is a user a member?
    -- @param org a name, a domain, or an organization as find and get give it
    -- @param id of the user
    -- @return true or false
    -- @raise keycloak, retryable, if there is no such organization
    function members.has(org, id)
        local at = api()
        local answer = call.send(at, "GET", path_to(at, org, "members", checked(id, "a user's id")),
            { absent = NOT_MEMBER })
        return answer.status == 200
    end

    --- Makes a user a member; nothing happens if he is. An answer that is lost is looked up: the
    -- request is not repeated.
    -- @param org a name, a domain, or an organization as find and get give it
    -- @param id of the user
    -- @return true, or false if he was a member
    -- @raise keycloak, retryable, if there is no such organization or no such user
    function members.add(org, id)
        local at = api()
        local path = path_to(at, org, "members")
        local ok, answer, body = pcall(call.send, at, "POST", path,
            { json = checked(id, "a user's id"), expect = { 409 } })
        if not ok then
            local e = answer
            if type(e) == "table" and e.outcome_unknown then
                local seen, there = pcall(members.has, { id = path[2] }, id)
                if seen and there then return true end
            end
            error(e, 0)
        end
        if answer.status ~= 409 then return true end
        if type(body) == "table" and tostring(body.errorMessage):find("already a member") then
            return false
        end
        call.fail { status = 409, message = ("Keycloak: user %s could not become a member of an"
            .. " organization"):format(id) }
    end

    --- Ends a membership; nothing happens if there is none. An account that the organization itself
    -- made ("managed") is deleted by that, as Keycloak does it.
    -- @param org a name, a domain, or an organization as find and get give it
    -- @param id of the user
    -- @return true, or false if he was no member
    function members.remove(org, id)
        local at = api()
        local answer = call.send(at, "DELETE",
            path_to(at, org, "members", checked(id, "a user's id")), { absent = NOT_MEMBER })
        return answer.status ~= 404
    end

    organizations.members = members
    return organizations
end
