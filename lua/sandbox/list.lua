--- A doubly linked list whose links are fields of its items, so that an item can be in several
-- lists at once and leaves one in O(1).

local List = {}
List.__index = List

--- An empty list.
-- @param name tells the lists apart that share items: their links are name.."_next", "_prev"
function List.new(name)
    return setmetatable({ count = 0, next = name .. "_next", prev = name .. "_prev",
        inside = name .. "_in" }, List)
end

--- Puts an item at the end.
function List:append(item)
    local last = self.last
    item[self.prev], item[self.next], item[self.inside] = last, nil, true
    if last then last[self.next] = item else self.first = item end
    self.last = item
    self.count = self.count + 1
end

--- Takes an item out; nothing happens if it is not in the list.
function List:remove(item)
    if not item[self.inside] then return end
    local before, after = item[self.prev], item[self.next]
    if before then before[self.next] = after else self.first = after end
    if after then after[self.prev] = before else self.last = before end
    item[self.prev], item[self.next], item[self.inside] = nil, nil, nil
    self.count = self.count - 1
end

--- Takes the first item out.
-- @return the item, or nil
function List:pop()
    local item = self.first
    if item then self:remove(item) end
    return item
end

return List
