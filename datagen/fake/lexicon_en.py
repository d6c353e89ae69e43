"""English words for made-up text, by the slot they fill; separated by semicolons."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(" ".join(word.split()) for word in text.split(";"))


SLOTS = {
    "topic": _words(
        """bread baking; river floods; city parks; train journeys; old bridges; beekeeping; the night sky; winter
        clothing; bicycle repair; school lunches; rainwater; street markets; household budgets; public libraries;
        volcanoes; coffee roasting; mountain weather; door locks; sleep habits; garden soil; wind power; folk songs;
        paper making; first aid; chess openings; ocean tides; job interviews; moving house; renting a flat; running
        shoes; lighthouse keepers; recycling glass; kitchen knives; migrating birds; sourdough; tax letters; small
        talk; electric cars; battery storage; handwriting; sewing buttons; water filters; railway timetables; board
        games; dental care; tree planting; noise at night; neighbours; shared kitchens; remote work; email manners;
        meeting notes; exam nerves; language learning; spelling rules; long division; prime numbers; simple machines;
        magnets; the water cycle; soap bubbles; rust; candle making; knots; camping food; hiking safety; sun cream;
        vaccines; hay fever; back pain; stretching; swimming lessons; team sports; village festivals; museum visits;
        family trees; letters home; second-hand books; film reviews; radio plays; choir practice; drum rhythms;
        pottery; house plants; tomato seeds; compost; garden snails; hedgehogs; stray cats; dog training; goldfish;
        chicken coops; cheese; pickled vegetables; noodle soup; spices; breakfast; leftovers; food labels; packing a
        suitcase; airport queues; ferry crossings; traffic lights; parking rules; map projections; time zones; leap
        years; calendars; sundials; coins; voting; town councils; fire drills; insurance claims; warranties; online
        passwords; backups; phone batteries; printers; spreadsheets; sorting algorithms; binary numbers"""
    ),
    "thing": _words(
        """bicycle; kettle; umbrella; notebook; lantern; ladder; suitcase; toaster; compass; watering can; backpack;
        desk lamp; folding chair; wool scarf; alarm clock; tea pot; flute; hammer; screwdriver; sewing machine; radio;
        thermometer; clay pot; rain barrel; bird house; picnic blanket; chess set; telescope; microscope; globe;
        calculator; keyboard; headset; water bottle; lunch box; door bell; letter box; garden gate; wheelbarrow;
        rowing boat; sledge; kite; puzzle; dictionary; cook book; diary; ticket; receipt; passport; key ring; mirror;
        carpet; curtain; bookshelf; fridge; oven; frying pan; cutting board; bread knife; jam jar"""
    ),
    "person": _words(
        """a retired teacher; a new neighbour; a ten-year-old; a first-year student; a busy parent; a bus driver;
        a night nurse; a shy colleague; a young farmer; a shop owner; a tourist; a beginner; a school class; a choir
        leader; a volunteer; an apprentice; a carpenter; a librarian; an engineer; a grandmother; a curious child;
        a tired manager; a customer; a landlord; a tenant; a football coach; a baker; a postman; a pharmacist;
        a museum guide; an amateur astronomer; a dog owner; a cyclist; a commuter; a cook; a gardener; a journalist;
        a translator; a job seeker; a friend abroad; a town councillor; a sailor; a painter; a violinist"""
    ),
    "place": _words(
        """a small coastal town; a crowded office; a mountain village; a quiet library; a school yard; a night train;
        a market square; a shared kitchen; a hospital ward; a farm; an island; a suburb; a desert road; a harbour;
        a university campus; a youth hostel; a community garden; a repair cafe; a basement flat; a ferry; a theatre;
        a swimming hall; a post office; an airport; a bakery; a bus stop; a forest camp; a chess club; a museum;
        a town hall; a workshop; a riverside path; a football ground; a greenhouse; a call centre; a lighthouse"""
    ),
    "action": _words(
        """plan the week; compare two offers; keep a short list; ask a neighbour; read the label; measure twice;
        take a break; write it down; start early; clean the filter; check the weather; share the cost; set a timer;
        mark the date; draw a rough sketch; call ahead; pack lightly; test one change; begin with the easy part;
        explain the reason; listen first; save a copy; count the steps; turn it off; label the jars; walk instead;
        book in advance; say no politely; practise out loud; repeat it slowly; keep the receipt; use less water;
        let it cool; add a pinch of salt; tighten the screws; sweep the floor; thank the helpers; change the order"""
    ),
    "adjective": _words(
        """simple; careful; quiet; sturdy; cheap; reliable; bright; slow; patient; cheerful; strict; gentle; useful;
        local; modern; old-fashioned; practical; clever; honest; short; detailed; friendly; formal; seasonal; safe;
        portable; shared; wooden; colourful; plain; warm; dry; fresh; regular; daily; weekly; public; private; small;
        large; common; rare; early; late; thorough; flexible; fair; calm; curious; tidy"""
    ),
    "genre": _words(
        """short poem; limerick; diary entry; news report; product review; thank-you letter; complaint; speech of one
        minute; dialogue; riddle; slogan; packing list; recipe; weekly plan; quiz of five questions; summary; fable;
        horoscope; job advert; invitation; apology; study guide; glossary; press release; bedtime story; postcard;
        set of rules; comparison table; checklist; interview; song verse; report; lesson plan; obituary; toast;
        safety notice; travel tip; email; text message; blog post"""
    ),
    "limit": _words(
        """in no more than 50 words; in exactly three sentences; as a numbered list; without using the letter z; in
        plain language; with one example; for beginners; with a surprising ending; in a formal tone; in a cheerful
        tone; with two arguments for and two against; in the style of a letter; step by step; with a short title; as
        if it were the year 1900; using only short words; with a question at the end; in the present tense; with a
        counterexample; under 200 words; as a conversation; with a budget of 20 euros; in one paragraph; with sources
        one could check; for a poster; with a table; in rhyme; without jargon; with a warning; so that it can be read
        aloud; in bullet points; with a moral"""
    ),
    "skill": _words(
        """sharpen a knife; fold a letter; tie a bowline; descale a kettle; patch a tyre; read a timetable; prune a
        rose; peel garlic; estimate a crowd; remember names; split a bill; wash wool; boil an egg; write a will; change
        a fuse; hang a shelf; sew on a button; test for damp; bake flat bread; tune a guitar; water plants on holiday;
        clean a window; take notes; plan a route; calm a dog; treat a blister; store potatoes; mix concrete; polish
        shoes; build a kite; choose a melon; pick a lock you own; set up a router; sort a bookshelf; draw a circle by
        hand; learn ten words a day"""
    ),
    "measure": _words(
        """12 apples; 3 litres of milk; 45 minutes; 7 kilometres; 240 pages; 18 degrees; 5 tickets; 36 chairs; 900
        grams of flour; 14 days; 60 screws; 2 hours; 150 metres of fence; 8 buses; 25 pupils; 400 tiles"""
    ),
    "label": _words(
        """positive or negative; urgent or not urgent; fact or opinion; formal or informal; spam or not spam; a
        question, a request or a complaint; past, present or future; safe or unsafe; true or false; sport, politics
        or culture; fruit or vegetable; happy, sad or angry; vertebrate or invertebrate; renewable or not renewable;
        metal or not metal; easy, medium or hard; advert or article; cause or effect; living or not living"""
    ),
    "cause": _words(
        """it saves time later; most faults start there; nobody likes surprises; the cost is small; habits are
        stronger than plans; the weather changes fast; memory is short; rules differ from town to town; small errors
        add up; it is easy to check; others depend on it; tools wear out; children copy what they see; prices rise in
        spring; it keeps the peace; mistakes are cheaper on paper; the first try rarely works; water finds every gap"""
    ),
    "opening": _words(
        """Good question.; Here is a short answer.; Certainly.; Let me go through it.; There are several ways to look at
        this.; In short, it depends.; Happy to help.; Thanks for asking.; Here is what usually works.; To begin with,
        a word of caution."""
    ),
    "closing": _words(
        """I hope this helps.; Let me know if you would like more detail.; Start small and see how it goes.; That is
        the gist of it.; Would you like an example?; Take what suits you and leave the rest.; When in doubt, ask
        someone on the spot."""
    ),
    "refusal": _words(
        """I'm sorry, but I can't help with that.; I cannot assist with this request.; Sorry, I can't provide that
        information.; I'm not able to help with that, but I can talk about something related.; I won't help with
        something that could hurt people."""
    ),
    "name": _words(
        """Ada; Bruno; Clara; Dinesh; Elif; Farid; Greta; Hana; Ivan; Jamila; Kofi; Lena; Mateo; Nadia; Omar; Priya;
        Quentin; Rosa; Sven; Tala; Umar; Vera; Wendel; Ximena; Yusuf; Zofia"""
    ),
}

SENTENCES = (
    "With {topic}, it helps to {action}, because {cause}.",
    "Many people think of {topic} first, yet {cause}.",
    "A {adjective} {thing} makes it easier to {action}.",
    "In {place}, {topic} can be a {adjective} matter.",
    "If you are {person}, {action} before anything else.",
    "The {adjective} way is to {action} and then {action}.",
    "{name} once kept a {thing} in {place} for this reason.",
    "Of course, {cause}, so {action}.",
    "A {thing} is no substitute for a {adjective} plan.",
    "When it comes to {topic}, {adjective} advice is rare.",
    "Try to {skill} at least once; {cause}.",
    "Nobody needs a {adjective} {thing} to {skill}.",
    "It took {person} {measure} to find that out.",
    "There is a link between {topic} and {topic}: {cause}.",
    "Start with {measure} and {action}.",
    "What works for {person} may not work in {place}.",
    "Some say that {topic} should be {adjective}; others prefer it {adjective}.",
    "Remember to {action}, and do not forget the {thing}.",
    "The hardest part is to {action} when {cause}.",
    "For {person}, a {adjective} {thing} is often enough.",
)

INSTRUCTIONS = (
    "Write a {genre} about {topic} for {person}.",
    "Explain {topic} to {person} {limit}.",
    "Describe how to {skill} {limit}.",
    "Give {person} three reasons to care about {topic}.",
    "Compare {topic} with {topic} {limit}.",
    "Suggest a {adjective} gift for {person} who loves {topic}.",
    "Rewrite the text as a {genre} about {topic}.",
    "List five {adjective} ideas for {place} that involve {topic}.",
    "Invent a {adjective} {thing} and describe what it does in {place}.",
    "What would {person} say about {topic}? Answer as a {genre}.",
    "Plan a day in {place} for {person} with an interest in {topic}.",
    "Summarise what is known about {topic} {limit}.",
    "Find the mistake in this advice on how to {skill}.",
    "Translate the sentence about {topic} and keep its {adjective} tone.",
    "How many steps does it take to {skill}? Count them {limit}.",
    "If {person} has {measure} and gives a third away, how much is left? Show the working.",
    "Turn these notes from {place} into a {genre}.",
    "Argue for or against a {adjective} rule on {topic} in {place}.",
    "Name three things that {person} could do with a broken {thing}.",
    "Continue the story: {name} opened the {thing} and heard a voice from {place}.",
    "Draft a {genre} in which {name} thanks {person} for a {thing}.",
    "Answer a question on {topic} from {person} {limit}.",
    "Make up a riddle whose answer is a {thing}, {limit}.",
    "What should {person} check before buying a {adjective} {thing}?",
    "Create a schedule that lets {person} {action} and still learn to {skill}.",
    "Estimate how long {measure} would last in {place}, and say what you assume.",
    "Give advice to {name}, who wants to {skill} but has no {thing}.",
    "Correct the grammar of a {genre} by {person}.",
    "Think of a {adjective} name for a club in {place} about {topic}.",
    "Why does {topic} matter to {person}? Answer {limit}.",
    "Shorten the following {genre} on {topic} to one line.",
    "Put these events about {topic} in order and explain the order.",
    "Write two questions that test whether {person} understands {topic}.",
    "Propose a {adjective} experiment about {topic} that needs only a {thing}.",
)

CLASSIFICATIONS = (
    "Decide whether the following {genre} about {topic} is {label}.",
    "Classify the sentence on {topic} as {label}.",
    "Given a message from {person}, say whether it is {label}.",
    "Is this statement about {topic} {label}? Answer with the label only.",
    "Sort the note from {place} into one of these: {label}.",
    "Read the {genre} by {person} and label it {label}.",
)
