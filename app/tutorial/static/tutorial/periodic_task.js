// Shows in words what the chosen crontab means.
const crontabs = JSON.parse(document.getElementById('readable-crontabs').textContent);
const $ = django.jQuery;
const help = $('.field-crontab .help');
const ownHelp = help.html();

$('.field-crontab_translation').hide();
$('.field-crontab').on('change', () => {
    const words = document.createTextNode(`Translation: ${crontabs[$('#id_crontab').val()]}`);
    help.html(ownHelp).append('<br>', words);
});
