--- A file that a handler requires.

return { nothing = function() end }
