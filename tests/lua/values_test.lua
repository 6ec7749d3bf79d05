--- host.url, host.time, host.validate: no handler needed.

local t = require "host.test"
local time = require "host.time"
local url = require "host.url"
local v = require "host.validate"

t.case("url: what an event brings stays one segment, one value", function()
    t.equal(url.escape("a/b?c=d&é"), "a%2Fb%3Fc%3Dd%26%C3%A9")
    t.equal(url.unescape("a%2Fb%zz+"), "a/b%zz+")
    t.equal(url.build("https://x.test/api/", { "users", "a/../b" }, { q = "1&2", a = { 1, 2 } }),
        "https://x.test/api/users/a%2F..%2Fb?a=1&a=2&q=1%262")
    t.equal(url.build("https://x.test", {}, {}), "https://x.test")
end)

t.case("time: there and back", function()
    for text, seconds in pairs {
        ["1970-01-01T00:00:00Z"] = 0, ["2000-02-29T12:30:45Z"] = 951827445,
        ["2026-11-24T15:12:44Z"] = 1795533164, ["1969-12-31T23:59:59Z"] = -1,
        ["9999-12-31T23:59:59Z"] = 253402300799,
    } do
        t.equal(time.parse(text), seconds, text)
        t.equal(time.format(seconds), text)
    end
    t.equal(time.parse "2026-11-24T16:12:44+01:00", 1795533164)
    t.equal(time.parse "2026-11-24T15:12:44.5Z", 1795533164.5)
    t.equal(time.format(1795533164.871, 3), "2026-11-24T15:12:44.871Z")
end)

t.case("time: what is none", function()
    for _, text in ipairs {
        "", "yesterday", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-11-24T24:00:00Z", "2026-11-24T15:12:44", "2026-11-24", "2026-11-24T15:12:44+25:00",
    } do
        local seconds, words = time.parse(text)
        t.equal(seconds, nil, text)
        t.matches(words, "RFC 3339")
    end
    t.equal(time.parse(5), nil)
end)

local Event = v.object {
    user = v.object { username = v.string { min = 3, max = 8 }, email = v.email,
        age = v.optional(v.integer { min = 0 }) },
    kind = v.one_of { "created", "updated" },
    tags = v.optional(v.list(v.string)),
}

local function good()
    return { user = { username = "ada", email = "ada@example.org" }, kind = "created",
        tags = { "a" } }
end

t.case("validate: a good event comes back", function()
    local event = good()
    t.ok(v.check(Event, event) == event)
end)

t.case("validate: each wrong has its place and its words", function()
    local event = good()
    event.user.username, event.user.email, event.user.age = "ad", "ada", -1
    event.kind, event.tags = nil, { "a", 5 }
    t.equal(v.problems(Event, event), {
        'kind: expected one of "created", "updated", got nothing',
        "tags[2]: expected a text, got 5",
        "user.age: expected a whole number of at least 0, got -1",
        'user.email: expected an e-mail address, got "ada"',
        'user.username: expected a text of 3 to 8 characters, got "ad"',
    })
    local problem = t.raises(function() v.check(Event, {}) end, "user: expected an object")
    t.equal(problem.kind, "invalid")
    t.equal(problem.retryable, false)
    t.equal(#problem.problems, 2)
end)

t.case("validate: e-mail addresses", function()
    for _, good_one in ipairs { "a@b", "a.b+c@mail.example.org", "jürgen@müller.de" } do
        t.equal(v.problems(v.email, good_one), nil, good_one)
    end
    for _, bad in ipairs { "", "a", "@b", "a@", "a@@b", "a b@c", "a@b..c", "a@b.", "a@b\n", "<a@b>",
        ("a"):rep(250) .. "@b.cd" } do
        t.ok(v.problems(v.email, bad), bad)
    end
end)

t.case("validate: lists, closed objects, numbers", function()
    t.equal(v.problems(v.list(v.any, { min = 1, max = 2 }), {}),
        { "expected a list of at least 1 and at most 2, got an object" })
    t.equal(v.problems(v.object({ a = v.any }, true), { a = 1, b = 2 }),
        { "b: is no field of this" })
    t.equal(v.problems(v.number { max = 5 }, 6), { "expected a number of at most 5, got 6" })
    t.equal(v.problems(v.integer, 1.5), { "expected a whole number, got 1.5" })
    t.equal(v.problems(v.boolean, 0), { "expected true or false, got 0" })
    t.raises(function() v.object { a = "string" } end, 'the field "a" has no shape')
end)
