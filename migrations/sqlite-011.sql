-- Their keys begin with the time at which they are made, and they are kept equally long: which of them ended, their keys tell.
DROP INDEX payments_until;
DROP INDEX expectations_until;
