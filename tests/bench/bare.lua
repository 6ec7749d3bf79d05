--- The bare loop's handler: what handler.lua does for host, with nothing in between.
-- @param body string  the message's body
-- @param url string   the target
-- @param post function post(url, body), which waits for the answer and returns its status
-- @raise if the target does not answer 201
return function(body, url, post)
    local user = cjson.decode(body).user
    local status = post(url, cjson.encode {
        username = user.username,
        email = user.email,
        firstName = user.first_name,
        lastName = user.last_name,
        enabled = true,
    })
    if status ~= 201 then error("the target answered " .. status) end
end
