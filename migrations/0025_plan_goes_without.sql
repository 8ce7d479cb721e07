-- Registered phones that hold older lists, for which a plan's gates do not wait: at most so many.
ALTER TABLE trust_plan ADD goes_without bigint NOT NULL DEFAULT 0;
